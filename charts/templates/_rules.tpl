{{/*
Prometheus' rules: charts/rules, with the settings of each alert put in. An alert that is null or not enabled is left out.
*/}}
{{- define "bt.rules" -}}
{{- $alerts := .Values.alerts }}
{{- $groups := list }}
{{- range $path, $_ := .Files.Glob "rules/*.yaml" }}
  {{- range $group := ($.Files.Get $path | fromYaml).groups }}
    {{- $rules := list }}
    {{- range $rule := $group.rules }}
      {{- if not (hasKey $rule "alert") }}
        {{- $rules = append $rules $rule }}
      {{- else }}
        {{- $settings := get $alerts.rules $rule.alert }}
        {{- if and $settings (ne (toString $settings.enabled) "false") }}
          {{- $text := toJson $rule }}
          {{- range $name, $value := omit $settings "enabled" "for" "severity" }}
            {{- $text = replace (printf "${%s}" $name) (kindIs "string" $value | ternary $value (toJson $value)) $text }}
          {{- end }}
          {{- $rule = fromJson $text }}
          {{- $labels := merge (dict "severity" $settings.severity) $alerts.labels }}
          {{- $runbook := printf "%s#%s" $alerts.runbookUrl (lower $rule.alert) }}
          {{- $annotations := merge (dict "runbook_url" $runbook) $rule.annotations }}
          {{- $rules = append $rules (merge (dict "for" $settings.for "labels" $labels "annotations" $annotations) $rule) }}
        {{- end }}
      {{- end }}
    {{- end }}
    {{- if $rules }}
      {{- $groups = append $groups (dict "name" $group.name "rules" $rules) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- toYaml (dict "groups" $groups) }}
{{- end }}
