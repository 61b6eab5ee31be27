{{/* Labels of all objects, but for those that have the gateway's names. */}}
{{- define "lychgate.labels" -}}
app.kubernetes.io/name: lychgate
{{- end }}

{{/* Name, and label `name`, of the Deployment, its pods and the Service for traffic. */}}
{{- define "lychgate.name" -}}
{{ if .Values.insteadOfGateway }}sandbox-gateway{{ else }}lychgate{{ end }}
{{- end }}

{{/* Name of roles and bindings. An overlay's own, so that two Lychgates in one cluster do not share them. */}}
{{- define "lychgate.roleName" -}}
{{ if .Values.insteadOfGateway }}lychgate-instead-of-gateway{{ else }}lychgate{{ end }}
{{- end }}

{{/* Selects this Lychgate's pods alone. */}}
{{- define "lychgate.podSelector" -}}
app.kubernetes.io/name: {{ include "lychgate.name" . }}
{{- if .Values.insteadOfGateway }}
app.kubernetes.io/instance: lychgate
{{- end }}
{{- end }}

{{/* lychgate.yaml */}}
{{- define "lychgate.config" -}}
# Every key and its default: docs/reference/configuration.md. Flags and LYCHGATE_… variables win over this file.
{{ toYaml .Values.config }}
{{- end }}

{{/* Peers in a NetworkPolicy: managers, and other replicas. */}}
{{- define "lychgate.peers" -}}
- namespaceSelector:
    matchExpressions:
      - { key: kubernetes.io/metadata.name, operator: In, values: [{{ .Values.managersNamespace }}] }
  podSelector:
    matchExpressions:
      - { key: component, operator: In, values: [sandbox-manager] }
- podSelector:
    matchExpressions:
      - { key: app.kubernetes.io/name, operator: In, values: [{{ include "lychgate.name" . }}] }
{{- end }}
