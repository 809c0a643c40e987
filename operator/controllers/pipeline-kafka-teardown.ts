import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { kafkaSecretName } from "../desired/kafka-secret.ts";
import { PIPELINE_LABEL } from "../desired/sink-labels.ts";
import { WaitingError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import type { Tools } from "../runtime/controller.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";
import type { Deps } from "./deps.ts";
import { keptNames, readKafkaSecret } from "./kafka-login-secret.ts";
import { KAFKA_USER, principalNamesOf } from "./pipeline-principal.ts";
import { addToReceipt, type Settled } from "./pipeline-receipt.ts";
import { mayOrphan } from "./teardown-deadline.ts";

/**
 * Takes down what the pipeline's sinks logged in to Kafka with, once none of them runs: its own user and rights by
 * policy, and the Secret. A login that the platform gave is the platform's.
 *
 * @throws WaitingError BackendUnreachable
 */
export async function settleKafkaAccess(
  pipeline: AuditPipeline,
  kafka: Kafka | undefined,
  { store }: Tools<AuditPipeline>,
  deps: Deps,
): Promise<void> {
  for (const name of await usersOf(pipeline, store, deps)) {
    if (await isSettled(pipeline, name, deps)) continue;
    await addToReceipt(pipeline, [await settleUser(pipeline, name, kafka, deps)], deps);
  }
  const secret = await deleteSecret(pipeline, store);
  if (secret !== undefined) await addToReceipt(pipeline, [secret], deps);
}

/**
 * Both names of one that was just being replaced: what the status does not know of yet, the Secret does. No others: who
 * can write the status must not have another's user deleted by it.
 */
export async function usersOf(pipeline: AuditPipeline, store: ObjectStore, deps: Deps): Promise<Set<string>> {
  const own = principalNamesOf(pipeline, deps);
  const known = pipeline.status?.inventory?.filter(({ kind, name }) => kind === KAFKA_USER && own.includes(name)) ?? [];
  const secret = await readKafkaSecret(pipeline, store).catch(() => undefined);
  return new Set([...known.map(({ name }) => name), ...keptNames(secret, own)]);
}

/** A pass that comes after the topic is gone would not know the back-end any more. */
async function isSettled(pipeline: AuditPipeline, name: string, { receipts }: Deps): Promise<boolean> {
  const receipt = await receipts.read({ kind: pipeline.kind, ...pipeline.metadata });
  const item = receipt?.items.find((noted) => noted.kind === KAFKA_USER && noted.name === name);
  return receipt?.subject.uid === pipeline.metadata.uid && item !== undefined && item.action !== "Orphaned";
}

async function settleUser(
  pipeline: AuditPipeline,
  name: string,
  kafka: Kafka | undefined,
  deps: Deps,
): Promise<Settled> {
  const item = { kind: KAFKA_USER, name };
  if (pipeline.spec.kafka.principal?.deletionPolicy === "Retain")
    return { ...item, action: "Retained", reason: "kafka.principal.deletionPolicy is Retain" };
  if (kafka === undefined) return { ...item, action: "Orphaned", reason: "its Kafka back-end is not known any more" };
  try {
    await kafka.principals.delete(name);
    return { ...item, action: "Deleted", reason: "kafka.principal.deletionPolicy is Delete" };
  } catch (error) {
    if (!(error instanceof WaitingError)) throw error;
    mayOrphan(pipeline, error, deps);
    return { ...item, action: "Orphaned", reason: error.message };
  }
}

async function deleteSecret({ metadata }: AuditPipeline, store: ObjectStore): Promise<Settled | undefined> {
  const ref = { kind: "Secret", namespace: metadata.namespace, name: kafkaSecretName(metadata.name) };
  const found = await store.get<KubeObject>(ref);
  if (found?.metadata.labels?.[PIPELINE_LABEL] !== metadata.name) return undefined;
  await store.delete(ref, { uid: found.metadata.uid });
  return { kind: "Secret", name: ref.name, action: "Deleted", reason: "it goes with its pipeline" };
}
