import { GROUP } from "../../crds/v1alpha1/shared.ts";
import { pipelineOwner } from "./pipeline-owner.ts";
import { OURS, PIPELINE_LABEL } from "./sink-labels.ts";

export interface KafkaSecretInput {
  readonly pipeline: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly bootstrapServers: readonly string[];
  /** PEM, where the back-end has an authority of its own. */
  readonly ca?: string | undefined;
  readonly user?: { readonly username: string; readonly password: string } | undefined;
  readonly certificate?: { readonly cert: string; readonly key: string } | undefined;
  /** Of a user that is the pipeline's own. */
  readonly issue?: PrincipalIssue | undefined;
}

/** What else is known of a pipeline's own user. Kafka has no room for it, so it is annotated on the user's Secret. */
export interface PrincipalIssue {
  /** Since when it has its password, RFC 3339. */
  readonly issuedAt: string;
  /** `Rotation.request` at that time. */
  readonly request?: string | undefined;
  /** What the user of the other name is; absent: there is none. */
  readonly other?: OtherPrincipal | undefined;
}

/** `Making`: it was to be made, or is left over from that. `Expiring`: the one before, good until its overlap ends. */
export type OtherPrincipal = "Making" | "Expiring";

export const ISSUED_AT = `${GROUP}/issued-at`;
export const ISSUE_REQUEST = `${GROUP}/issue-request`;
export const OTHER_PRINCIPAL = `${GROUP}/other-principal`;

/** Of a pipeline, which all its sinks share. No Secret of a sink ends like this, so two pipelines never meet in one. */
export const kafkaSecretName = (pipeline: string) => `${pipeline}-kafka`;

/** What the sinks of a pipeline log in to Kafka with. */
export function desiredKafkaSecret({ pipeline, bootstrapServers, ca, user, certificate, issue }: KafkaSecretInput) {
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
      ...(issue === undefined ? {} : { annotations: issueAnnotations(issue) }),
      ownerReferences: [pipelineOwner({ name, uid })],
    },
    type: "Opaque",
    data: Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
    ),
  };
}

const issueAnnotations = ({ issuedAt, request, other }: PrincipalIssue): Record<string, string> => ({
  [ISSUED_AT]: issuedAt,
  ...(request === undefined ? {} : { [ISSUE_REQUEST]: request }),
  ...(other === undefined ? {} : { [OTHER_PRINCIPAL]: other }),
});
