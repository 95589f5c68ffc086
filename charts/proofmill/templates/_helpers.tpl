{{- define "proofmill.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "proofmill.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "proofmill.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "proofmill.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The operator's resources. */}}
{{- define "proofmill.operator" -}}
{{- printf "%s-operator" (include "proofmill.fullname" .) -}}
{{- end -}}

{{- define "proofmill.serviceAccount" -}}
{{- default (ternary (include "proofmill.operator" .) "default" .Values.operator.serviceAccount.create) .Values.operator.serviceAccount.name -}}
{{- end -}}

{{- define "proofmill.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: proofmill
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What selects the operator's pods; never changes, since a Deployment's selector cannot. */}}
{{- define "proofmill.operatorSelector" -}}
app.kubernetes.io/name: proofmill-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "proofmill.operatorLabels" -}}
{{ include "proofmill.labels" . }}
app.kubernetes.io/name: proofmill-operator
{{- end -}}

{{/* An image's reference, of (dict "registry" R "image" I "tag" T). */}}
{{- define "proofmill.image" -}}
{{- $name := .image.repository -}}
{{- if .registry -}}{{- $name = printf "%s/%s" .registry $name -}}{{- end -}}
{{- if .image.digest -}}{{ $name }}@{{ .image.digest }}{{- else -}}{{ $name }}:{{ default .tag .image.tag }}{{- end -}}
{{- end -}}

{{- define "proofmill.workerNamespaces" -}}
{{- $given := .Values.networkPolicy.workerNamespaces | default .Values.operator.watchNamespaces | default (list .Release.Namespace) -}}
{{- toJson ($given | uniq) -}}
{{- end -}}

{{- define "proofmill.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "proofmill.restrictedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}
