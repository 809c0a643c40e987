import type { AuditPipeline, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KafkaBackend } from "../config.ts";
import { desiredSinkConfig } from "../desired/sink-config.ts";
import { CA_FILE, type KafkaAccess, kafkaFiles } from "../desired/sink-files.ts";
import { isSuspended } from "../desired/sink-input.ts";
import { sinkSelector } from "../desired/sink-labels.ts";
import type { SinkNames } from "../desired/sink-names.ts";
import { desiredWorkload } from "../desired/sink-workload.ts";
import { WaitingError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import { credentialFingerprint } from "../external/scram.ts";
import type { Tools } from "../runtime/controller.ts";
import type { ApplyConfiguration, KubeObject, ObjectStore } from "../runtime/object-store.ts";
import type { TopicInUse } from "../status/audit-pipeline.ts";
import type { Deps } from "./deps.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import { deleteOwn, isOf } from "./own-objects.ts";
import type { ReadyLedger } from "./sink-ledger.ts";
import { type Deployment, type Pod, rolloutReport } from "./sink-rollout.ts";

export interface WorkloadStep {
  readonly pipeline: AuditPipeline;
  readonly sink: SinkSpec;
  readonly names: SinkNames;
  readonly topic: TopicInUse | undefined;
  readonly broker: { readonly backend: KafkaBackend; readonly kafka: Kafka } | undefined;
}

/**
 * Everything the sink is in the cluster, and how its pods fare.
 *
 * @throws WaitingError while the topic is not known, since a sink without one would only wait in its place;
 *   WorkloadConflict where an object of that name is somebody else's
 */
export async function ensureWorkload(
  step: WorkloadStep,
  kafka: KafkaAccess,
  ready: ReadyLedger,
  { store }: Tools<AuditPipeline>,
  { config, now }: Deps,
) {
  const { pipeline, sink, names, topic, broker } = step;
  if (topic === undefined || broker === undefined)
    throw new WaitingError("DependencyNotReady", "The topic is not there yet");
  const { place } = ready;
  const { namespace, name, uid } = pipeline.metadata;
  const { deployment: pods, ...rest } = desiredWorkload({
    pipeline: { namespace, name, uid },
    spec: pipeline.spec,
    sink,
    names,
    image: config.sink.image,
    credential: credentialFingerprint(ready.passwords.writer),
    ca: place.ca,
    kafka,
    ports: [place.backend.port, ...(await brokerPorts(step, broker, store))],
    config: desiredSinkConfig({
      pipeline: { namespace, name },
      spec: pipeline.spec,
      sink,
      topic,
      kafka: broker.backend,
      kafkaAccess: kafkaFiles(kafka),
      postgres: place.backend,
      ledger: place.ledger,
      consumerGroup: names.consumerGroup,
      caFile: place.ca === undefined ? undefined : CA_FILE,
    }),
  });
  for (const object of Object.values(rest)) await applyOwn(pipeline, sink.name, object, store);
  if (rest.networkPolicy === undefined) await deleteOwn(pipeline, sink.name, policyRef(step), store);
  const deployment = await applyOwn<Deployment>(pipeline, sink.name, pods, store);
  const { items } = await store.list<Pod>("Pod", { namespace, labels: sinkSelector({ name }, sink.name) });
  const wanted = isSuspended(pipeline.spec) ? 0 : pipeline.spec.workload.replicas;
  return {
    report: rolloutReport(deployment, items, wanted, now().getTime()),
    replicas: wanted,
    readyReplicas: deployment.status?.readyReplicas ?? 0,
  };
}

/** Never takes over what somebody else made under the name: a Service of theirs would lead to our pods. */
async function applyOwn<T extends KubeObject>(
  pipeline: AuditPipeline,
  sink: string,
  object: ApplyConfiguration,
  store: ObjectStore,
): Promise<T> {
  const { kind, metadata } = object;
  const { namespace, name } = metadata;
  const found = await store.get<KubeObject>({ kind, namespace, name });
  if (found !== undefined && !isOwned(pipeline, found) && !isOf(pipeline, sink, found)) {
    throw new WaitingError(
      "WorkloadConflict",
      `${kind} ${name} exists and sink ${sink} of this pipeline did not make it; remove it, or rename the sink`,
      { requeueAfterMs: 30_000 },
    );
  }
  return store.apply<T>(object, { fieldManager: FIELD_MANAGER });
}

/** Whatever was done to its labels. */
const isOwned = ({ metadata: { uid } }: AuditPipeline, { metadata }: KubeObject) =>
  metadata.ownerReferences?.some((owner) => owner.uid === uid) === true;

const policyRef = ({ pipeline: { metadata }, names }: WorkloadStep) => ({
  ...{ kind: "NetworkPolicy", namespace: metadata.namespace, name: names.workload },
});

interface NetworkPolicy extends KubeObject {
  spec?: { egress?: readonly { ports?: readonly { port?: number }[] }[] };
}

/** What brokers advertise may differ from where a client begins. While they do not answer, what is open stays open. */
async function brokerPorts(
  step: WorkloadStep,
  { backend, kafka }: NonNullable<WorkloadStep["broker"]>,
  store: ObjectStore,
): Promise<readonly number[]> {
  if (!step.pipeline.spec.networkPolicy.enabled) return [];
  const bootstrap = backend.bootstrapServers.map((server) => Number(server.slice(server.lastIndexOf(":") + 1)));
  try {
    return [...bootstrap, ...(await kafka.brokers.ports())];
  } catch {
    const present = await store.get<NetworkPolicy>(policyRef(step));
    const open = (present?.spec?.egress?.[1]?.ports ?? []).flatMap(({ port }) => port ?? []);
    return [...bootstrap, ...open];
  }
}
