{{- /* Generated from config/rbac by `make generate`: change that. */ -}}
{{- define "audit-pipeline.namespacedRules" -}}
- apiGroups:
    - auditpipeline.io
  resources:
    - audittopics
  verbs:
    - get
    - list
    - watch
    - create
    - update
    - patch
    - delete
- apiGroups:
    - auditpipeline.io
  resources:
    - auditpipelines
  verbs:
    - get
    - list
    - watch
    - update
- apiGroups:
    - auditpipeline.io
  resources:
    - audittopics/status
    - auditpipelines/status
  verbs:
    - patch
- apiGroups:
    - auditpipeline.io
  resources:
    - auditpipelines/finalizers
  verbs:
    - update
- apiGroups:
    - ""
  resources:
    - secrets
    - configmaps
  verbs:
    - get
    - list
    - watch
    - create
    - patch
    - delete
- apiGroups:
    - ""
  resources:
    - serviceaccounts
    - services
  verbs:
    - get
    - create
    - patch
    - delete
- apiGroups:
    - policy
  resources:
    - poddisruptionbudgets
  verbs:
    - get
    - create
    - patch
    - delete
- apiGroups:
    - networking.k8s.io
  resources:
    - networkpolicies
  verbs:
    - get
    - create
    - patch
    - delete
- apiGroups:
    - ""
  resources:
    - pods
  verbs:
    - list
- apiGroups:
    - apps
  resources:
    - deployments
  verbs:
    - get
    - list
    - watch
    - create
    - patch
    - delete
- apiGroups:
    - events.k8s.io
  resources:
    - events
  verbs:
    - get
    - create
    - patch
{{- end -}}
{{- define "audit-pipeline.clusterRules" -}}
- apiGroups:
    - ""
  resources:
    - namespaces
  resourceNames:
    - kube-system
  verbs:
    - get
{{- end -}}
{{- define "audit-pipeline.ownNamespaceRules" -}}
- apiGroups:
    - coordination.k8s.io
  resources:
    - leases
  verbs:
    - get
    - create
    - update
- apiGroups:
    - ""
  resources:
    - configmaps
  verbs:
    - get
    - create
    - update
{{- end -}}
