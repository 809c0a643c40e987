import type { AuditPipeline, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { Ledger } from "../desired/postgres-ledger.ts";
import { desiredMonths, type Month } from "../desired/postgres-month.ts";
import { inForce, type LoginKind, otherOf } from "../desired/postgres-names.ts";
import type { Rotation } from "../desired/rotation.ts";
import type { SinkNames } from "../desired/sink-names.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { LedgerPasswords, PostgresLedger, Progress } from "../external/postgres-ledger.ts";
import { credentialFingerprint } from "../external/scram.ts";
import { issuedAtMs } from "../plan/login-rotation.ts";
import type { Plan } from "../plan/plan.ts";
import { findDrift, type LedgerAction, type ObservedLedger, planLedger } from "../plan/postgres-ledger.ts";
import { databaseOwnership } from "../plan/postgres-ownership.ts";
import type { Tools } from "../runtime/controller.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import type { Deps } from "./deps.ts";
import { type LedgerPlace } from "./ledger-place.ts";
import { yieldToOlder } from "./ledger-rivals.ts";
import { forgetRefusals, maySetPassword } from "./password-resets.ts";
import { recordSink } from "./recorded-sinks.ts";
import { rotationNow } from "./rotation.ts";
import { type CredentialsInput, readLogins, writeSecrets } from "./sink-credentials.ts";
import { oldestKeptMs } from "./sink-retention.ts";

/** Also how others reach it. */
export interface ReachablePlace extends LedgerPlace {
  /** PEM, where the back-end has an authority of its own; read once in a pass. */
  readonly ca: string | undefined;
}

/** What the steps after it need of a ledger that is as it should be. */
export interface ReadyLedger {
  /** With the logins in force. */
  readonly place: ReachablePlace;
  readonly desired: Ledger;
  readonly access: PostgresLedger;
  readonly months: readonly Month[];
  readonly progress: readonly Progress[];
  readonly passwords: LedgerPasswords;
  /** The probe's key, once it passed under it. */
  readonly probed: string | undefined;
  /** Something was changed in this pass: what was probed before is no proof any more. */
  readonly changed: boolean;
  /** False: the platform's own, in which only the schema is ours. */
  readonly ownsDatabase: boolean;
  /** Some of it was there before and was taken over. */
  readonly isAdopted: boolean;
  /** Changed by hand and left so, by driftPolicy; in words. */
  readonly drift: readonly string[];
  readonly observed: ObservedLedger;
}

export interface LedgerInput {
  readonly pipeline: AuditPipeline;
  readonly sink: SinkSpec;
  readonly names: SinkNames;
  readonly place: ReachablePlace;
  /** Milliseconds; undefined while the topic is empty or Kafka does not answer. */
  readonly oldestRecordMs: number | undefined;
}

/**
 * Database or schema, roles, tables and month partitions. Plans before it writes anything, so that a ledger that is
 * somebody else's leaves not even a Secret behind.
 *
 * @throws StalledError DatabaseConflict, RoleConflict, SchemaConflict; WaitingError PostgresUnreachable and its kin
 */
export async function ensureLedger(input: LedgerInput, tools: Tools<AuditPipeline>, deps: Deps): Promise<ReadyLedger> {
  const { sink } = input;
  const { place, passwords, probed, spoilt } = await loginsInForce(input, tools.store, deps);
  const credentials = credentialsInput({ ...input, place });
  const access = ledgerAccess(place, deps, passwords);

  const progress = await access.readProgress();
  const wanted = progress.flatMap(({ wantedMonth }) => (wantedMonth === undefined ? [] : [wantedMonth]));
  const months = desiredMonths({
    nowMs: deps.now().getTime(),
    precreate: sink.postgres.partitioning.precreate,
    oldestRecordMs: input.oldestRecordMs,
    wanted,
    notBeforeMs: oldestKeptMs(sink, deps),
  });
  const desired = desiredLedger(place, months, passwords, rotationOf(input, deps));
  const observed = await access.observe();
  if (observed.roles.owner === undefined) {
    await yieldToOlder(input.pipeline, place, observed.database !== undefined, tools.store, deps);
  }
  const plan = planLedger(desired, observed);
  const refusal = refusalOf(plan);
  const drift = findDrift(desired, observed);
  // Somebody else's ledger: hands off. A hand-made grant or a changed table: reported, and the rest is kept up all the same.
  if (refusal !== undefined && plan.actions.length === 0) throw refusal;

  await recordSink(input.pipeline, sink, tools);
  await writeSecrets(credentials, passwords, plan.actions.length === 0 ? probed : undefined, tools.store);
  const kept: string[] = [];
  for (const action of plan.actions) {
    tools.log.info({ sink: sink.name, database: place.ledger.database, action: action.kind }, "Applying action");
    await access.apply(action).catch((error: unknown) => kept.push(keptLogin(action, error)));
  }
  await announce(plan.actions, place.driftPolicy === "Correct" ? drift : [], place, tools);
  await announceReset(input, spoilt, observed, tools);
  if (refusal !== undefined) throw refusal;
  const after = plan.actions.length === 0 ? observed : await access.observe();
  // What is left changed may be what a login needs: the probe says.
  const left = [...(place.driftPolicy === "Report" ? drift : []), ...kept];
  const changed = plan.actions.length > 0 || left.length > 0;
  return {
    place,
    access,
    desired,
    months: after.months,
    progress,
    passwords,
    probed,
    changed,
    ownsDatabase: ownsDatabase(place, after),
    isAdopted: after.roles.owner?.marker?.adopted === true || after.schema?.marker?.adopted === true,
    drift: left,
    observed: after,
  };
}

/** A login at its end that PostgreSQL keeps for what somebody gave it is shut, and no reason to stop the others. */
function keptLogin({ kind }: LedgerAction, error: unknown): string {
  if (kind === "DropLogin" && error instanceof StalledError && error.reason === "Orphaned") return error.message;
  throw error;
}

/** All of it in one message; nobody else's doing is worth a wait, but sessions that are about to end. */
function refusalOf({ refusals }: Plan<LedgerAction>): StalledError | WaitingError | undefined {
  const [first] = refusals;
  if (first === undefined) return undefined;
  const message = [...new Set(refusals.map((refusal) => refusal.message))].join("; ").slice(0, MAX_MESSAGE);
  return first.reason === "ObjectBusy"
    ? new WaitingError(first.reason, message)
    : new StalledError(first.reason, message);
}

/** Half of what a condition may hold. */
const MAX_MESSAGE = 16_384;

/** Which of a login's two names its Secret says; where it says none, the one that got its password last. */
async function loginsInForce(input: LedgerInput, store: ObjectStore, deps: Deps) {
  const { passwords, probed, spoilt, ledger } = await readLogins(credentialsInput(input), store);
  if (spoilt.length === 0) return { place: { ...input.place, ledger }, passwords, probed, spoilt };
  const { roles } = await ledgerAccess(input.place, deps, passwords).observe();
  const youngest = spoilt.reduce((names, login) => {
    const [first, second] = [roles[login], roles[otherOf[login]]];
    const isSecond = (issuedAtMs(second) ?? -1) > (issuedAtMs(first) ?? -1);
    return inForce(names, login, isSecond ? input.place.ledger[otherOf[login]] : names[login]);
  }, ledger);
  return { place: { ...input.place, ledger: youngest }, passwords, probed, spoilt };
}

const ownsDatabase = ({ ledger, identity }: LedgerPlace, { database }: ObservedLedger) =>
  database !== undefined && databaseOwnership(ledger, identity, database) === "Ours";

/** Says once what was taken, and what was put back. */
async function announce(
  actions: readonly LedgerAction[],
  drift: readonly string[],
  { ledger }: LedgerPlace,
  { recordEvent }: Tools<AuditPipeline>,
): Promise<void> {
  const did = (kind: LedgerAction["kind"]) => actions.some((action) => action.kind === kind);
  const where = `database ${ledger.database}, schema ${ledger.schema}`;
  const normal = { type: "Normal", action: "Reconcile" } as const;
  if (did("TakeBack")) {
    await recordEvent({
      ...normal,
      reason: "Adopted",
      note: `Took back ${where}, which an earlier resource of this name had`,
    });
  }
  if (did("Adopt") || did("AdoptSchema")) {
    await recordEvent({ ...normal, reason: "Adopted", note: `Took over ${where}, which was there before` });
  }
  if (drift.length > 0) {
    const note = `Put back in ${where} what was changed by hand: ${drift.join("; ")}`;
    await recordEvent({ ...normal, type: "Warning", reason: "DriftCorrected", note: note.slice(0, MAX_NOTE) });
  }
}

/** Of events.k8s.io/v1. */
const MAX_NOTE = 1_024;
/** Of a login that worked before: at the first pass every Secret is missing. */
async function announceReset(
  { names }: LedgerInput,
  spoilt: readonly LoginKind[],
  { roles }: ObservedLedger,
  { recordEvent }: Tools<AuditPipeline>,
): Promise<void> {
  for (const login of spoilt.filter((kind) => roles[kind]?.marker?.credential !== undefined)) {
    const secret = login === "writer" ? names.writerSecret : names.readerSecret;
    const note = `Secret ${secret} was missing, or had no username and password of ours: the ${login} has a new password, the one before is refused`;
    await recordEvent({ type: "Warning", reason: "SecretReplaced", action: "Reconcile", note });
  }
}

/**
 * Logs in as each identity: what must work works, what must be refused is refused. Passed once under a key, it is not
 * done again until something moves.
 *
 * @throws StalledError ProbeFailed; WaitingError ProbeFailed where a password had to be set again
 */
export async function proveCredentials(
  input: LedgerInput,
  ready: ReadyLedger,
  tools: Tools<AuditPipeline>,
): Promise<void> {
  const { access, probed, changed, passwords, place } = ready;
  const key = access.probeKey();
  if (!changed && probed === key) {
    await setAgain(await access.refusedLogins(), key, ready);
    forgetRefusals(key);
    return;
  }
  const result = await access.probe();
  await setAgain(result.rejected, result.key, ready);
  forgetRefusals(result.key);
  if (!result.ok) throw new StalledError("ProbeFailed", result.failures.join("; "));
  await writeSecrets(credentialsInput({ ...input, place }), passwords, result.key, tools.store);
}

/** A password that somebody changed on the server. */
async function setAgain(
  rejected: readonly LoginKind[],
  key: string,
  { access, desired }: Pick<ReadyLedger, "access" | "desired">,
): Promise<void> {
  if (rejected.length === 0) return;
  const refused = `The server refused the login of ${rejected.join(" and ")}`;
  if (!maySetPassword(key)) {
    const message = `${refused} with the password that was set again: look at VALID UNTIL of its role, and at the server's log`;
    throw new WaitingError("ProbeFailed", message, { requeueAfterMs: 30_000 });
  }
  const { actions } = planLedger(desired, await access.observe(), { rejected });
  for (const action of actions) await access.apply(action);
  throw new WaitingError("ProbeFailed", `${refused}; its password was set again`, { requeueAfterMs: 1_000 });
}

export function ledgerAccess(
  { backend, identity, ledger, adoption }: LedgerPlace,
  { ledgers }: Deps,
  passwords?: LedgerPasswords,
): PostgresLedger {
  return ledgers({ server: backend, identity, names: ledger, passwords, adoption });
}

export const credentialsInput = ({ pipeline, sink, names, place }: LedgerInput): CredentialsInput => ({
  pipeline,
  sink,
  names,
  backend: place.backend,
  ledger: place.ledger,
  ca: place.ca,
});

export const desiredLedger = (
  { identity, ledger, adoption, driftPolicy }: LedgerPlace,
  months: readonly Month[],
  { writer, reader }: LedgerPasswords,
  rotation: Rotation,
): Ledger => ({
  names: ledger,
  identity,
  months,
  adoptionPolicy: adoption,
  driftPolicy,
  credentials: {
    writer: credentialFingerprint(writer),
    ...(reader === undefined ? {} : { reader: credentialFingerprint(reader) }),
  },
  rotation,
});

const rotationOf = ({ pipeline, sink }: LedgerInput, deps: Deps): Rotation =>
  rotationNow(pipeline, sink.postgres.rotation, deps);
