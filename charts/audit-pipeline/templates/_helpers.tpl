{{/* Prefix of all names: the release's name, with the chart's where it does not hold that already. */}}
{{- define "audit-pipeline.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- $made := ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name) -}}
{{- default $made .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "audit-pipeline.operatorName" -}}
{{ include "audit-pipeline.fullname" . }}-operator
{{- end -}}

{{- define "audit-pipeline.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "audit-pipeline.operatorName" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "audit-pipeline.selectorLabels" -}}
app.kubernetes.io/name: audit-pipeline-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "audit-pipeline.labels" -}}
{{ include "audit-pipeline.selectorLabels" . }}
app.kubernetes.io/part-of: audit-pipeline
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of (dict "image" .Values.image "root" $): registry/repository:tag, or @digest. */}}
{{- define "audit-pipeline.image" -}}
{{- $image := .image -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{/* Where the keys of a back-end's Secret are files: (dict "kind" "kafka" "backend" "default" "what" "sasl"). */}}
{{- define "audit-pipeline.secretDir" -}}
/etc/audit-pipeline-secrets/{{ .kind }}-{{ .backend }}-{{ .what }}
{{- end -}}

{{/* The Secrets that back-ends name: [{volume, dir, secret}], as JSON. */}}
{{- define "audit-pipeline.secrets" -}}
{{- $found := list -}}
{{- range $name, $backend := .Values.backends.kafka -}}
  {{- $refs := dict
        "ca" (dig "tls" "caSecretRef" "name" "" $backend)
        "certificate" (dig "tls" "clientCertificateSecretRef" "name" "" $backend)
        "sasl" (dig "sasl" "secretRef" "name" "" $backend)
        "client" (dig "clientSecretRef" "name" "" $backend) -}}
  {{- range $what, $secret := $refs -}}
    {{- if $secret -}}
      {{- $place := dict "kind" "kafka" "backend" $name "what" $what -}}
      {{- $found = append $found (dict "volume" (printf "kafka-%s-%s" $name $what) "dir" (include "audit-pipeline.secretDir" $place) "secret" $secret) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $name, $backend := .Values.backends.postgres -}}
  {{- $refs := dict
        "ca" (dig "caSecretRef" "name" "" $backend)
        "admin" (dig "adminSecretRef" "name" "" $backend) -}}
  {{- range $what, $secret := $refs -}}
    {{- if $secret -}}
      {{- $place := dict "kind" "postgres" "backend" $name "what" $what -}}
      {{- $found = append $found (dict "volume" (printf "postgres-%s-%s" $name $what) "dir" (include "audit-pipeline.secretDir" $place) "secret" $secret) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{ toJson $found }}
{{- end -}}

{{/* The operator's configuration (docs/operator-configuration.md), as YAML: Secrets become the files they are mounted as. */}}
{{- define "audit-pipeline.config" -}}
{{- $kafka := list -}}
{{- range $name, $values := .Values.backends.kafka -}}
  {{- $backend := merge (dict "name" $name) (omit $values "tls" "sasl" "clientSecretRef") -}}
  {{- if kindIs "string" $values.bootstrapServers -}}
    {{- $_ := set $backend "bootstrapServers" (regexSplit "\\s*,\\s*" (trim $values.bootstrapServers) -1) -}}
  {{- end -}}
  {{- if and $values.tls (ne (toString $values.tls.enabled) "false") -}}
    {{- $tls := omit $values.tls "enabled" "caSecretRef" "clientCertificateSecretRef" -}}
    {{- if $values.tls.caSecretRef -}}
      {{- $_ := set $tls "caFile" (printf "%s/ca.crt" (include "audit-pipeline.secretDir" (dict "kind" "kafka" "backend" $name "what" "ca"))) -}}
    {{- end -}}
    {{- if $values.tls.clientCertificateSecretRef -}}
      {{- $dir := include "audit-pipeline.secretDir" (dict "kind" "kafka" "backend" $name "what" "certificate") -}}
      {{- $_ := set $tls "certFile" (printf "%s/tls.crt" $dir) -}}
      {{- $_ := set $tls "keyFile" (printf "%s/tls.key" $dir) -}}
    {{- end -}}
    {{- $_ := set $backend "tls" $tls -}}
  {{- end -}}
  {{- with $values.sasl -}}
    {{- $dir := include "audit-pipeline.secretDir" (dict "kind" "kafka" "backend" $name "what" "sasl") -}}
    {{- $_ := set $backend "sasl" (dict "mechanism" .mechanism "secretFile" $dir) -}}
  {{- end -}}
  {{- if $values.clientSecretRef -}}
    {{- $_ := set $backend "clientSecretFile" (include "audit-pipeline.secretDir" (dict "kind" "kafka" "backend" $name "what" "client")) -}}
  {{- end -}}
  {{- $kafka = append $kafka $backend -}}
{{- end -}}
{{- $postgres := list -}}
{{- range $name, $values := .Values.backends.postgres -}}
  {{- $backend := merge (dict "name" $name) (omit $values "caSecretRef" "adminSecretRef") -}}
  {{- $_ := set $backend "adminSecretFile" (include "audit-pipeline.secretDir" (dict "kind" "postgres" "backend" $name "what" "admin")) -}}
  {{- if $values.caSecretRef -}}
    {{- $_ := set $backend "caFile" (printf "%s/ca.crt" (include "audit-pipeline.secretDir" (dict "kind" "postgres" "backend" $name "what" "ca"))) -}}
  {{- end -}}
  {{- $postgres = append $postgres $backend -}}
{{- end -}}
{{- $config := dict
      "namespace" .Release.Namespace
      "watchNamespaces" .Values.watchNamespaces
      "backends" (dict "kafka" $kafka "postgres" $postgres)
      "sink" (dict "image" (include "audit-pipeline.image" (dict "image" .Values.sinkImage "root" .)))
      "leaderElection" (dict "leaseName" (include "audit-pipeline.operatorName" .)) -}}
{{ toYaml (merge $config (ternary (omit .Values.config "clusterId") .Values.config (empty .Values.config.clusterId))) }}
{{- end -}}

{{- define "audit-pipeline.configMapName" -}}
{{ default (include "audit-pipeline.operatorName" .) .Values.existingConfigMap }}
{{- end -}}

{{/* Ports of the back-ends, as a JSON list of numbers. */}}
{{- define "audit-pipeline.backendPorts" -}}
{{- $ports := list -}}
{{- range (include "audit-pipeline.config" . | fromYaml).backends.kafka -}}
  {{- range .bootstrapServers -}}
    {{- $ports = append $ports (regexFind "[0-9]+$" . | int) -}}
  {{- end -}}
{{- end -}}
{{- range .Values.backends.postgres -}}
  {{- $ports = append $ports (default 5432 .port | int) -}}
{{- end -}}
{{ $ports | uniq | toJson }}
{{- end -}}
