import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { otherName } from "../desired/kafka-principal.ts";
import { WaitingError } from "../errors.ts";
import { generatePassword } from "../external/scram.ts";
import { type IssuedPrincipal, mustRetire, mustRotate, nextChangeMs } from "../plan/principal-rotation.ts";
import type { Tools } from "../runtime/controller.ts";
import { bring, conflict, exists, type PrincipalStep, scramOf } from "./pipeline-principal.ts";

/**
 * Takes the user before away when its time is over, and replaces the one in force when its time has come: the other name
 * gets the same rights and a new password, both are proved, and only then does the Secret say so, from where the sinks
 * take it up.
 *
 * Kafka has no room for a marker, so the Secret says before it is made that the other user is ours. Its password is
 * nowhere but here until the Secret has it: who stops half-way leaves a user that the next pass gives another one.
 *
 * @throws StalledError PrincipalConflict, WaitingError ProbeFailed; the user in force is then as it was
 */
export async function rotatePrincipal(
  step: PrincipalStep,
  user: IssuedPrincipal,
  tools: Tools<AuditPipeline>,
): Promise<IssuedPrincipal> {
  const { rotation } = step;
  const alone = mustRetire(user, rotation) ? await retire(step, user, tools) : user;
  return mustRotate(alone, rotation) ? await replace(step, alone, tools) : alone;
}

/** When to look again; undefined: nothing falls due by itself. Milliseconds. */
export function rotationDueInMs({ rotation }: PrincipalStep, user: IssuedPrincipal): number | undefined {
  const next = nextChangeMs(user, rotation);
  return next === undefined ? undefined : Math.max(next - rotation.nowMs, 1_000);
}

async function retire(
  { kafka, names, keep }: PrincipalStep,
  user: IssuedPrincipal,
  { log }: Tools<AuditPipeline>,
): Promise<IssuedPrincipal> {
  const before = otherName(names, user.username);
  log.info({ user: before, action: "DeleteUser" }, "Applying action");
  await kafka.principals.delete(before);
  const alone = { ...user, other: undefined };
  await keep(alone);
  return alone;
}

async function replace(
  step: PrincipalStep,
  user: IssuedPrincipal,
  tools: Tools<AuditPipeline>,
): Promise<IssuedPrincipal> {
  const { backend, kafka, names, acls, rotation, keep } = step;
  const username = otherName(names, user.username);
  const observed = await kafka.principals.observe(username, scramOf(backend));
  if (user.other === undefined) {
    if (exists(observed)) throw conflict(username, backend);
    await keep({ ...user, other: "Making" });
  }
  const fresh = { username, password: generatePassword() };
  await bring(step, fresh, { ...observed, hasPassword: false }, tools);
  const found = await kafka.logins.probe({ user: fresh }, acls);
  if (found.kind !== "Works") {
    const what = found.kind === "Refused" ? "is refused" : "lacks rights";
    const message = `The new user ${username} was not taken into use: its login ${what}`;
    throw new WaitingError("ProbeFailed", message, { requeueAfterMs: 5_000 });
  }
  const next: IssuedPrincipal = {
    ...fresh,
    issuedAtMs: rotation.nowMs,
    request: rotation.request,
    other: "Expiring",
  };
  await keep(next);
  await announce(step, username, tools);
  return next;
}

async function announce(
  { pipeline }: PrincipalStep,
  username: string,
  { recordEvent }: Tools<AuditPipeline>,
): Promise<void> {
  const overlap = pipeline.spec.kafka.principal?.rotation.overlap;
  const note = `A new user in Kafka, ${username}; the one before is good for another ${overlap}`;
  await recordEvent({ type: "Normal", reason: "CredentialsRotated", action: "Reconcile", note });
}
