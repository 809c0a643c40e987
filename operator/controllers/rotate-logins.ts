import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { Ledger } from "../desired/postgres-ledger.ts";
import { inForce, type LoginKind, otherOf } from "../desired/postgres-names.ts";
import { StalledError } from "../errors.ts";
import { generatePassword } from "../external/scram.ts";
import { issuedAtMs, loginsToRotate, nextRotationMs } from "../plan/login-rotation.ts";
import { type LedgerAction, planLedger } from "../plan/postgres-ledger.ts";
import type { Tools } from "../runtime/controller.ts";
import { type Deps, rfc3339 } from "./deps.ts";
import { writeSecrets } from "./sink-credentials.ts";
import { credentialsInput, desiredLedger, type LedgerInput, ledgerAccess, type ReadyLedger } from "./sink-ledger.ts";

/**
 * Replaces the logins whose time has come: the other name gets a role with the same rights and a new password, it is
 * proved, and only then does the Secret say so, from where the sinks take it up. The one before is taken away by the
 * ledger's own plan after the overlap.
 *
 * The new password is nowhere but here until the Secret has it. Who stops half-way leaves a login that no Secret names;
 * the next pass gives it another password and goes on.
 *
 * @throws StalledError ProbeFailed; the logins in force are then as they were
 */
export async function rotateLogins(
  input: LedgerInput,
  ready: ReadyLedger,
  tools: Tools<AuditPipeline>,
  deps: Deps,
): Promise<ReadyLedger> {
  const due = loginsToRotate(ready.desired, ready.observed);
  if (due.length === 0) return ready;
  const { place, passwords } = withNewLogins(ready, due);
  const access = ledgerAccess(place, deps, passwords);
  // Without an overlap nothing is taken away: the logins in force are the others now.
  const rotation = { ...ready.desired.rotation, ...sameNow(ready) };
  // A login that is not there yet is no drift.
  const desired: Ledger = { ...desiredLedger(place, ready.months, passwords, rotation), driftPolicy: "Correct" };
  const { actions, refusals } = planLedger(desired, await access.observe());
  if (refusals[0] !== undefined) throw new StalledError(refusals[0].reason, refusals[0].message);
  const roles = due.map((login) => place.ledger[login]);
  for (const action of actions.filter((one) => isAbout(roles, one))) {
    tools.log.info({ sink: input.sink.name, database: place.ledger.database, action: action.kind }, "Applying action");
    await access.apply(action);
  }
  const result = await access.probe();
  if (!result.ok)
    throw new StalledError("ProbeFailed", `The new login was not taken into use: ${result.failures.join("; ")}`);
  await writeSecrets(credentialsInput({ ...input, place }), passwords, result.key, tools.store);
  await announce(input, due, tools);
  const rotated = desiredLedger(place, ready.months, passwords, { ...ready.desired.rotation, nowMs: nowOf(ready) });
  return { ...ready, place, access, passwords, desired: rotated, observed: await access.observe(), probed: result.key };
}

/** Everything else is as it should be, or left as it is by driftPolicy. */
function isAbout(roles: readonly string[], action: LedgerAction): boolean {
  if (action.kind === "SetGrants") return action.to !== null && roles.includes(action.to);
  if ("role" in action) return roles.includes(action.role);
  return "object" in action && action.object === "Role" && roles.includes(action.name);
}

const nowOf = ({ desired }: ReadyLedger) => desired.rotation?.nowMs ?? 0;
const sameNow = (ready: ReadyLedger) => ({ nowMs: nowOf(ready), overlapMs: undefined });

const withNewLogins = (ready: ReadyLedger, due: readonly LoginKind[]) =>
  due.reduce(
    ({ place, passwords }, login) => ({
      place: { ...place, ledger: inForce(place.ledger, login, place.ledger[otherOf[login]]) },
      passwords: { ...passwords, [login]: generatePassword() },
    }),
    { place: ready.place, passwords: ready.passwords },
  );

async function announce(
  { sink }: LedgerInput,
  due: readonly LoginKind[],
  { recordEvent }: Tools<AuditPipeline>,
): Promise<void> {
  const note = `Sink ${sink.name}: a new login for the ${due.join(" and the ")}; the one before is good for another ${sink.postgres.rotation.overlap}`;
  await recordEvent({ type: "Normal", reason: "CredentialsRotated", action: "Reconcile", note });
}

/** Of the sink's login, for the status. */
export function credentialsIssuedAt({ observed }: ReadyLedger): string | undefined {
  const at = issuedAtMs(observed.roles.writer);
  return at === undefined ? undefined : rfc3339(new Date(at));
}

/** How often a session that the sink itself may not end is looked for. */
const FENCE_LOOK_MS = 5_000;

/** While a writer's login before is good: keeps what is left of it from standing in the new one's way. Answers when to look again. */
export async function watchOverlap(ready: ReadyLedger): Promise<number | undefined> {
  const left = ready.observed.roles.otherWriter?.login === true ? await ready.access.fenceOtherWriter() : 0;
  if (left > 0) return FENCE_LOOK_MS;
  const next = nextRotationMs(ready.desired, ready.observed);
  return next === undefined ? undefined : Math.max(next - nowOf(ready), 1_000);
}
