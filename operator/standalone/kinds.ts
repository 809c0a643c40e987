/** The kinds the embedded store keeps, and nothing else. Of those that need a cluster to do anything it keeps what was stated. */
export const kinds = {
  AuditTopic: "auditpipeline.io/v1alpha1",
  AuditPipeline: "auditpipeline.io/v1alpha1",
  Secret: "v1",
  ConfigMap: "v1",
  ServiceAccount: "v1",
  Service: "v1",
  PodDisruptionBudget: "policy/v1",
  NetworkPolicy: "networking.k8s.io/v1",
  Deployment: "apps/v1",
  Pod: "v1",
  Event: "events.k8s.io/v1",
} as const;

export type Kind = keyof typeof kinds;

export const isKind = (kind: string): kind is Kind => Object.hasOwn(kinds, kind);
