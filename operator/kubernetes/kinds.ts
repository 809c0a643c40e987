/** Every kind the operator reads or writes, and where an API server keeps it. All are namespaced. */
export const kinds = {
  AuditTopic: { apiVersion: "auditpipeline.io/v1alpha1", plural: "audittopics" },
  AuditPipeline: { apiVersion: "auditpipeline.io/v1alpha1", plural: "auditpipelines" },
  Secret: { apiVersion: "v1", plural: "secrets" },
  ConfigMap: { apiVersion: "v1", plural: "configmaps" },
  ServiceAccount: { apiVersion: "v1", plural: "serviceaccounts" },
  Pod: { apiVersion: "v1", plural: "pods" },
  Service: { apiVersion: "v1", plural: "services" },
  Deployment: { apiVersion: "apps/v1", plural: "deployments" },
  PodDisruptionBudget: { apiVersion: "policy/v1", plural: "poddisruptionbudgets" },
  NetworkPolicy: { apiVersion: "networking.k8s.io/v1", plural: "networkpolicies" },
  Event: { apiVersion: "events.k8s.io/v1", plural: "events" },
  Lease: { apiVersion: "coordination.k8s.io/v1", plural: "leases" },
} as const satisfies Record<string, { apiVersion: string; plural: string }>;

export type Kind = keyof typeof kinds;

/** `/api/v1/...` or `/apis/<group>/<version>/...`; every segment is encoded. */
export function pathOf(kind: string, namespace?: string, name?: string): string {
  const { apiVersion, plural } = kindOf(kind);
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${scope}/${plural}${name === undefined ? "" : `/${encodeURIComponent(name)}`}`;
}

export const apiVersionOf = (kind: string): string => kindOf(kind).apiVersion;

function kindOf(kind: string): (typeof kinds)[Kind] {
  if (!Object.hasOwn(kinds, kind)) throw new Error(`Kind ${kind} is none of those the operator works with`);
  return kinds[kind as Kind];
}
