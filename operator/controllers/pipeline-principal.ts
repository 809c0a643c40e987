import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KafkaBackend } from "../config.ts";
import { type KafkaAcl, otherName, type PrincipalNames, principalNames } from "../desired/kafka-principal.ts";
import type { Rotation } from "../desired/rotation.ts";
import { StalledError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import type { ScramMechanism } from "../external/kafka-principal.ts";
import { generatePassword } from "../external/scram.ts";
import { type ObservedPrincipal, planPrincipal } from "../plan/kafka-principal.ts";
import type { IssuedPrincipal } from "../plan/principal-rotation.ts";
import type { Tools } from "../runtime/controller.ts";
import type { Deps } from "./deps.ts";

export interface PrincipalStep {
  readonly pipeline: AuditPipeline;
  readonly backend: KafkaBackend;
  readonly kafka: Kafka;
  readonly names: PrincipalNames;
  readonly acls: readonly KafkaAcl[];
  readonly rotation: Rotation;
  /** From our Secret; absent where there is none, or it is spoilt. */
  readonly known: IssuedPrincipal | undefined;
  /** Writes the Secret. */
  keep(user: IssuedPrincipal): Promise<void>;
}

/** How the status and the receipt call it. */
export const KAFKA_USER = "KafkaUser";

/**
 * A user of Kafka for the sinks of one pipeline, with the rights in `acls` and no others. The password is in the Secret
 * before Kafka learns it, so that a crash in between leaves one that can be set again.
 *
 * @throws StalledError PrincipalUnsupported, PrincipalConflict; WaitingError KafkaUnauthorized and its kin
 */
export async function ensurePrincipal(
  step: PrincipalStep,
  tools: Tools<AuditPipeline>,
  deps: Deps,
): Promise<IssuedPrincipal> {
  const { backend, kafka, names, known } = step;
  const user = known ?? (await newIssue(step, deps));
  const observed = await kafka.principals.observe(user.username, scramOf(backend));
  if (exists(observed) && known === undefined) {
    if (!(await ownNames(step, deps)).includes(user.username)) throw conflict(user.username, backend);
    await announceReset(user.username, tools);
  }
  await step.keep(user);
  await bring(step, user, { ...observed, hasPassword: observed.hasPassword && known !== undefined }, tools);
  if (user.other === "Expiring") await keepRights(step, otherName(names, user.username), tools);
  return user;
}

/** The one that was in force, with another password; whatever else of ours there may be is left over. */
async function newIssue(step: PrincipalStep, deps: Deps): Promise<IssuedPrincipal> {
  const { names, pipeline, rotation } = step;
  const own = await ownNames(step, deps);
  const inForce = pipeline.status?.kafka?.user;
  const username = names.find((name) => name === inForce) ?? names.find((name) => own.includes(name)) ?? names[0];
  return {
    username,
    password: generatePassword(),
    issuedAtMs: rotation.nowMs,
    request: rotation.request,
    other: own.includes(otherName(names, username)) ? "Making" : undefined,
  };
}

/** Rights and password as they should be; rights come before the password that uses them. */
export async function bring(
  { kafka, backend, acls }: PrincipalStep,
  { username, password }: Pick<IssuedPrincipal, "username" | "password">,
  observed: ObservedPrincipal,
  { log }: Tools<AuditPipeline>,
): Promise<void> {
  const { principals } = kafka;
  for (const action of planPrincipal({ username, acls }, observed)) {
    log.info({ user: username, action: action.kind }, "Applying action");
    if (action.kind === "RemoveAcls") await principals.removeAcls(username, action.acls);
    else if (action.kind === "AddAcls") await principals.addAcls(username, action.acls);
    else await principals.setPassword(username, scramOf(backend), password);
  }
}

/** Of the one before: it needs what its sinks need as long as one of them may run. */
async function keepRights(step: PrincipalStep, username: string, tools: Tools<AuditPipeline>): Promise<void> {
  const observed = await step.kafka.principals.observe(username, scramOf(step.backend));
  if (observed.hasPassword) await bring(step, { username, password: "" }, observed, tools);
}

export const exists = ({ hasPassword, acls }: ObservedPrincipal) => hasPassword || acls.length > 0;

/** @throws StalledError PrincipalUnsupported: only SCRAM has users that are made over the wire */
export function scramOf({ name, sasl }: KafkaBackend): ScramMechanism {
  if (sasl?.mechanism === "ScramSha256" || sasl?.mechanism === "ScramSha512") return sasl.mechanism;
  throw new StalledError(
    "PrincipalUnsupported",
    `spec.kafka.principal.create: Kafka back-end ${name} has no SASL SCRAM, so no user can be made there; leave principal out`,
  );
}

/** Kafka has no room for a marker. Our Secret says that a user is ours; where it is lost, our status, or a receipt that retained it. */
async function ownNames({ pipeline, names }: PrincipalStep, { receipts }: Deps): Promise<string[]> {
  const receipt = await receipts.read({ kind: pipeline.kind, ...pipeline.metadata });
  const left = receipt?.items.filter(({ action }) => action !== "Deleted") ?? [];
  return [...(pipeline.status?.inventory ?? []), ...left].flatMap(({ kind, name }) =>
    kind === KAFKA_USER && names.includes(name) ? [name] : [],
  );
}

export const conflict = (username: string, { name }: KafkaBackend) =>
  new StalledError(
    "PrincipalConflict",
    `User ${username} exists on Kafka back-end ${name}, and nothing says that it is this pipeline's; another operator may have the same clusterId, else delete the user and its rights`,
  );

async function announceReset(username: string, { recordEvent }: Tools<AuditPipeline>): Promise<void> {
  const note = `The Secret of Kafka user ${username} was missing, or had no username and password of ours: the user has a new password, the one before is refused`;
  await recordEvent({ type: "Warning", reason: "SecretReplaced", action: "Reconcile", note });
}

export const principalNamesOf = ({ metadata }: AuditPipeline, { config }: Deps): PrincipalNames =>
  principalNames({ clusterId: config.clusterId, pipeline: metadata });
