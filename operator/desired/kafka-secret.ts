import { pipelineOwner } from "./pipeline-owner.ts";
import { OURS, PIPELINE_LABEL } from "./sink-labels.ts";

export interface KafkaSecretInput {
  readonly pipeline: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly bootstrapServers: readonly string[];
  /** PEM, where the back-end has an authority of its own. */
  readonly ca?: string | undefined;
  readonly user?: { readonly username: string; readonly password: string } | undefined;
  readonly certificate?: { readonly cert: string; readonly key: string } | undefined;
}

/** Of a pipeline, which all its sinks share. No Secret of a sink ends like this, so two pipelines never meet in one. */
export const kafkaSecretName = (pipeline: string) => `${pipeline}-kafka`;

/** What the sinks of a pipeline log in to Kafka with. */
export function desiredKafkaSecret({ pipeline, bootstrapServers, ca, user, certificate }: KafkaSecretInput) {
  const fields: Record<string, string> = {
    "bootstrap.servers": bootstrapServers.join(","),
    ...user,
    ...(certificate === undefined ? {} : { "tls.crt": certificate.cert, "tls.key": certificate.key }),
    ...(ca === undefined ? {} : { "ca.crt": ca }),
  };
  const { namespace, name, uid } = pipeline;
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: kafkaSecretName(name),
      namespace,
      labels: {
        [PIPELINE_LABEL]: name,
        ...OURS,
        "app.kubernetes.io/part-of": "audit-pipeline",
      },
      ownerReferences: [pipelineOwner({ name, uid })],
    },
    type: "Opaque",
    data: Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
    ),
  };
}
