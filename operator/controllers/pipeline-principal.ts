import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KafkaBackend } from "../config.ts";
import { type KafkaPrincipal, principalName } from "../desired/kafka-principal.ts";
import { StalledError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import type { ScramMechanism } from "../external/kafka-principal.ts";
import { generatePassword } from "../external/scram.ts";
import { type PrincipalAction, planPrincipal } from "../plan/kafka-principal.ts";
import type { Tools } from "../runtime/controller.ts";
import type { Deps } from "./deps.ts";

export interface PrincipalUser {
  readonly username: string;
  readonly password: string;
}

interface PrincipalStep {
  readonly pipeline: AuditPipeline;
  readonly backend: KafkaBackend;
  readonly kafka: Kafka;
  readonly principal: KafkaPrincipal;
  /** From our Secret; absent where there is none, or it is of another user. */
  readonly known: PrincipalUser | undefined;
}

/** How the status and the receipt call it. */
export const KAFKA_USER = "KafkaUser";

/**
 * A user of Kafka for the sinks of one pipeline, with the rights in `principal` and no others. The password is in the
 * Secret before Kafka learns it: `keep` writes it, so that a crash in between leaves one that can be set again.
 *
 * @throws StalledError PrincipalUnsupported, PrincipalConflict; WaitingError KafkaUnauthorized and its kin
 */
export async function ensurePrincipal(
  step: PrincipalStep,
  keep: (user: PrincipalUser) => Promise<unknown>,
  { log }: Tools<AuditPipeline>,
  deps: Deps,
): Promise<PrincipalUser> {
  const { backend, kafka, principal, known } = step;
  const mechanism = scramOf(backend);
  const observed = await kafka.principals.observe(principal.username, mechanism);
  const exists = observed.hasPassword || observed.acls.length > 0;
  if (exists && known === undefined && !(await wasOurs(step, deps))) throw conflict(principal.username, backend);

  const user = known ?? { username: principal.username, password: generatePassword() };
  await keep(user);
  const hasPassword = observed.hasPassword && known !== undefined;
  for (const action of planPrincipal(principal, { ...observed, hasPassword })) {
    log.info({ user: action.username, action: action.kind }, "Applying action");
    await applyAction(action, kafka, mechanism, user);
  }
  return user;
}

async function applyAction(
  action: PrincipalAction,
  { principals }: Kafka,
  mechanism: ScramMechanism,
  { password }: PrincipalUser,
): Promise<void> {
  switch (action.kind) {
    case "RemoveAcls":
      return principals.removeAcls(action.username, action.acls);
    case "AddAcls":
      return principals.addAcls(action.username, action.acls);
    case "SetPassword":
      return principals.setPassword(action.username, mechanism, password);
  }
}

/** @throws StalledError PrincipalUnsupported: only SCRAM has users that are made over the wire */
export function scramOf({ name, sasl }: KafkaBackend): ScramMechanism {
  if (sasl?.mechanism === "ScramSha256" || sasl?.mechanism === "ScramSha512") return sasl.mechanism;
  throw new StalledError(
    "PrincipalUnsupported",
    `spec.kafka.principal.create: Kafka back-end ${name} has no SASL SCRAM, so no user can be made there; leave principal out`,
  );
}

/** Kafka has no room for a marker. Our Secret says that a user is ours; where it is lost, our status, or a receipt that retained it. */
async function wasOurs({ pipeline, principal }: PrincipalStep, { receipts }: Deps): Promise<boolean> {
  const isThis = (item: { kind: string; name: string }) => item.kind === KAFKA_USER && item.name === principal.username;
  if (pipeline.status?.inventory?.some(isThis) === true) return true;
  const receipt = await receipts.read({ kind: pipeline.kind, ...pipeline.metadata });
  return receipt?.items.some((item) => isThis(item) && item.action !== "Deleted") === true;
}

const conflict = (username: string, { name }: KafkaBackend) =>
  new StalledError(
    "PrincipalConflict",
    `User ${username} exists on Kafka back-end ${name}, and nothing says that it is this pipeline's; another operator may have the same clusterId, else delete the user and its rights`,
  );

export const principalOf = ({ metadata }: AuditPipeline, { config }: Deps): string =>
  principalName({ clusterId: config.clusterId, pipeline: metadata });
