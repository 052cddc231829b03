{{/* Labels. Call with (dict "ctx" $ "name" "kafka"). */}}
{{- define "bt.labels" -}}
{{ include "bt.selectorLabels" . }}
app.kubernetes.io/part-of: bt-monitoring
app.kubernetes.io/version: {{ .ctx.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .ctx.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .ctx.Chart.Name (.ctx.Chart.Version | replace "+" "_") }}
{{- end }}

{{- define "bt.selectorLabels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .ctx.Release.Name }}
{{- end }}

{{/* An image's full name. Call with (dict "ctx" $ "image" .Values.kafka.image); an empty tag is the chart's appVersion. */}}
{{- define "bt.image" -}}
{{ .image.repository }}:{{ .image.tag | default .ctx.Chart.AppVersion }}
{{- end }}

{{- define "bt.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The pod's part of the restricted Pod Security standard. Call with (dict "user" 1000 "fsGroup" 1000). */}}
{{- define "bt.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
{{- with .fsGroup }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* The container's part of it. Call with true for a read-only root. */}}
{{- define "bt.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: {{ . }}
capabilities:
  drop: [ALL]
{{- end }}

{{/* A Service's type and, with nodePorts, its node port. Call with (dict "ctx" $ "port" 9200 "name" "http" "nodePort" 30200). */}}
{{- define "bt.servicePorts" -}}
type: {{ .ctx.Values.nodePorts.enabled | ternary "NodePort" "ClusterIP" }}
ports:
  - name: {{ .name }}
    port: {{ .port }}
    targetPort: {{ .name }}
    {{- if .ctx.Values.nodePorts.enabled }}
    nodePort: {{ .nodePort }}
    {{- end }}
{{- end }}

{{/* A StatefulSet's volume named data: a claim, or for the pod's life only. Call with a part's persistence. */}}
{{- define "bt.volumeClaims" -}}
{{- if .enabled }}
persistentVolumeClaimRetentionPolicy:
  whenDeleted: {{ .whenDeleted }}
  whenScaled: Retain
volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ .size }}
{{- end }}
{{- end }}

{{/* Where the operator finds Kafka when a resource does not say. */}}
{{- define "bt.kafkaBootstrap" -}}
{{- if .Values.kafka.enabled -}}
kafka.{{ .Release.Namespace }}.svc:9092
{{- else -}}
{{ .Values.kafka.bootstrapServers }}
{{- end -}}
{{- end }}

{{- define "bt.searchUrl" -}}
{{- if .Values.search.enabled -}}
http://elasticsearch.{{ .Release.Namespace }}.svc:9200
{{- else -}}
{{ .Values.search.url }}
{{- end -}}
{{- end }}

{{/* The engine's address for the web interfaces: they do not log in, and trust the authorities of the system only. */}}
{{- define "bt.unsecuredSearchUrl" -}}
{{- if not (or .Values.search.auth .Values.search.tls) }}{{ include "bt.searchUrl" . }}{{ end }}
{{- end }}

{{/* Whether there is a Kibana. */}}
{{- define "bt.hasKibana" -}}
{{- if and .Values.kibana.enabled (eq .Values.search.engine "elasticsearch") (include "bt.unsecuredSearchUrl" .) }}true{{ end }}
{{- end }}

{{- define "bt.prometheusUrl" -}}
{{- if .Values.prometheus.enabled -}}
http://prometheus.{{ .Release.Namespace }}.svc:9090
{{- else -}}
{{ .Values.prometheus.url }}
{{- end -}}
{{- end }}

{{/* A map without its null values, at every level, as JSON: numbers keep their digits (Helm's own YAML turns 604800000 into 6.048e+08). */}}
{{- define "bt.compact" -}}
{{- $out := dict -}}
{{- range $key, $value := . -}}
  {{- if kindIs "map" $value -}}
    {{- $_ := set $out $key (include "bt.compact" $value | fromJson) -}}
  {{- else if not (kindIs "invalid" $value) -}}
    {{- $_ := set $out $key $value -}}
  {{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end }}

{{/* Refuses an auth that is not exactly one way to log in. Call with (dict "at" "search.auth" "auth" .Values.search.auth). */}}
{{- define "bt.checkAuth" -}}
{{- $auth := include "bt.compact" .auth | fromJson }}
{{- $named := or (hasKey $auth "username") (hasKey $auth "passwordSecretRef") }}
{{- $whole := and (hasKey $auth "username") (hasKey $auth "passwordSecretRef") }}
{{- $key := hasKey $auth "apiKeySecretRef" }}
{{- if and $named $key }}
  {{- fail (printf "\n\n%s has two ways to log in, username with passwordSecretRef and apiKeySecretRef: set those that are not wanted to null (values files are merged).\n" .at) }}
{{- else if not (or $whole $key) }}
  {{- fail (printf "\n\n%s is not complete: give username with passwordSecretRef, or apiKeySecretRef.\n" .at) }}
{{- end }}
{{- end }}

{{/* Refuses fields that the definition in the cluster does not know: Kubernetes would drop them without a word. Call with
     (dict "at" "consumers.logs" "value" $spec "schema" $schema), the schema as in a definition. */}}
{{- define "bt.checkFields" -}}
{{- $known := .schema.properties }}
{{- if and $known (kindIs "map" .value) }}
{{- range $key, $value := .value }}
  {{- $at := printf "%s.%s" $.at $key }}
  {{- if not (hasKey $known $key) }}
    {{- fail (printf "\n\n%s: the custom resource definitions in this cluster are of an earlier version, and do not have this field. Update them first, from the root of the repository:\n\n    kubectl apply -f crds/\n" $at) }}
  {{- end }}
  {{- include "bt.checkFields" (dict "at" $at "value" $value "schema" (get $known $key)) }}
{{- end }}
{{- end }}
{{- end }}
