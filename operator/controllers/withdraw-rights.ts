import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, type AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import type { Tools } from "../runtime/controller.ts";
import { kafkaBackendOf, siteOf } from "./backends.ts";
import type { Deps } from "./deps.ts";
import { usersOf } from "./pipeline-kafka-teardown.ts";
import { scramOf } from "./pipeline-principal.ts";

/**
 * The platform no longer allows the name of the topic: the pipeline's own users lose their rights on topics, and what
 * still runs is refused by the brokers. Groups and passwords stay, so that a grant that comes back is all that is needed.
 *
 * @throws WaitingError KafkaUnreachable and its kin
 */
export async function withdrawTopicRights(
  pipeline: AuditPipeline,
  { store, log }: Pick<Tools<AuditPipeline>, "store" | "log">,
  deps: Deps,
): Promise<void> {
  const topic = await store.get<AuditTopic>({ kind: AUDIT_TOPIC.kind, ...pipelineTopic(pipeline) });
  if (topic === undefined) return;
  const users = await usersOf(pipeline, store, deps);
  if (users.size === 0) return;
  const backend = kafkaBackendOf(deps.config, siteOf(topic), store);
  const { principals } = deps.kafka.to(backend);
  for (const user of users) {
    const { acls } = await principals.observe(user, scramOf(backend));
    const onTopics = acls.filter(({ resource }) => resource === "TOPIC");
    if (onTopics.length === 0) continue;
    log.info({ user, topic: topic.status?.topicName }, "Taking rights on a topic that is not allowed any more");
    await principals.removeAcls(user, onTopics);
  }
}
