import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC } from "../../crds/v1alpha1/audit-topic.ts";
import { pipelineTopic as topicSchema } from "../../crds/v1alpha1/pipeline-topic.ts";
import { API_VERSION } from "../../crds/v1alpha1/shared.ts";
import { pipelineOwner } from "./pipeline-owner.ts";

/** The AuditTopic a pipeline reads: the one it names, else one of its own under its own name. */
export function pipelineTopic(pipeline: Pick<AuditPipeline, "metadata" | "spec">): {
  readonly namespace: string;
  readonly name: string;
  /** The pipeline makes it, and takes it along when it goes. */
  readonly owned: boolean;
} {
  const { namespace, name } = pipeline.metadata;
  const ref = readsTopic(pipeline.spec);
  return { namespace, name: ref?.name ?? name, owned: ref === undefined };
}

/** Of others' pipelines too, which nobody has checked: one with a spec that is not valid must not stop its neighbours. */
function readsTopic(spec: unknown): { name: string } | undefined {
  const { topic } = (spec ?? {}) as { topic?: unknown };
  return topicSchema.safeParse(topic).data?.ref;
}

/** The AuditTopic a pipeline makes, as server-side apply wants it: what the template says, and no more. */
export function desiredAuditTopic(pipeline: AuditPipeline) {
  const { namespace, name, uid } = pipeline.metadata;
  return {
    apiVersion: API_VERSION,
    kind: AUDIT_TOPIC.kind,
    metadata: {
      name,
      namespace,
      ownerReferences: [pipelineOwner({ name, uid })],
    },
    spec: { kafka: placeOf(pipeline.spec.kafka), ...pipeline.spec.topic.template },
  };
}

/** Without the principal, which is the pipeline's own. */
const placeOf = ({ backendRef, connection }: AuditPipeline["spec"]["kafka"]) => ({
  ...(backendRef === undefined ? {} : { backendRef }),
  ...(connection === undefined ? {} : { connection }),
});
