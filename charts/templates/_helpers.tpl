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
