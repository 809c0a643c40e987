import type { Ledger } from "../desired/postgres-ledger.ts";
import { isSecond, type LoginKind, otherOf } from "../desired/postgres-names.ts";
import type { Rotation } from "../desired/rotation.ts";
import type { LedgerAction, ObservedLedger, ObservedRole } from "./postgres-ledger.ts";
import { type Marker, ownedBy } from "./postgres-ownership.ts";

/*
 * A login has two names and one is in force: the one its Secret names. Everything else is read from the markers of the
 * two roles, which say since when each has its password; nothing is remembered elsewhere, so any step can be the last.
 */

const LOGINS: readonly LoginKind[] = ["writer", "reader"];

/** What the marker of a login says that gets its password now. */
export const issuedNow = (rotation: Rotation | undefined): Pick<Marker, "issuedAt" | "request"> =>
  rotation === undefined
    ? {}
    : {
        issuedAt: new Date(rotation.nowMs).toISOString(),
        ...(rotation.request === undefined ? {} : { request: rotation.request }),
      };

/** Milliseconds; undefined for a login that never got a password, or has none any more. */
export function issuedAtMs(role: ObservedRole | undefined): number | undefined {
  const at = Date.parse(role?.marker?.issuedAt ?? "");
  return Number.isNaN(at) ? undefined : at;
}

/** The logins to replace now. One whose predecessor is still good waits for that to end: a login has two names only. */
export function loginsToRotate({ credentials, rotation }: Ledger, { roles }: ObservedLedger): LoginKind[] {
  return LOGINS.filter((login) => {
    const [current, other] = [roles[login], roles[otherOf[login]]];
    const at = issuedAtMs(current);
    if (rotation === undefined || credentials[login] === undefined || at === undefined) return false;
    const isAskedFor = rotation.request !== undefined && rotation.request !== current?.marker?.request;
    const isOld = rotation.intervalMs !== undefined && rotation.nowMs >= at + rotation.intervalMs;
    return (isAskedFor || isOld) && !isPredecessor(other, at);
  });
}

/** A younger one was made by a rotation that ended half-way: the next goes on with it. */
function isPredecessor(other: ObservedRole | undefined, currentMs: number): boolean {
  const at = issuedAtMs(other);
  return other?.login === true && at !== undefined && at <= currentMs;
}

/** The logins whose time is over. One that was there before us loses its password, and stays as a role. */
export function planRetirements(
  { names, identity, credentials, rotation }: Ledger,
  { roles }: ObservedLedger,
): LedgerAction[] {
  if (rotation?.overlapMs === undefined) return [];
  const { nowMs, overlapMs } = rotation;
  return LOGINS.flatMap((login): LedgerAction[] => {
    const [current, other] = [roles[login], roles[otherOf[login]]];
    const role = names[otherOf[login]];
    if (other === undefined) return [];
    const adopted = other.marker?.adopted === true;
    const isDropped = isSecond(role) && !adopted;
    if (!other.login && !isDropped) return [];
    const isOver = credentials[login] === undefined || nowMs >= endOfOverlap(current, other, overlapMs);
    if (!isOver) return [];
    if (isDropped) return [{ kind: "DropLogin", role }];
    return [{ kind: "DisableLogin", role, marker: { ...ownedBy(identity), ...(adopted && { adopted }) } }];
  });
}

/** From the younger of the two on: also where a Secret was put back to the older one. Never, while the first has no password yet. */
function endOfOverlap(current: ObservedRole | undefined, other: ObservedRole, overlapMs: number): number {
  const at = issuedAtMs(current);
  if (at === undefined) return Number.POSITIVE_INFINITY;
  return Math.max(at, issuedAtMs(other) ?? at) + overlapMs;
}

/** When something falls due by itself, or undefined. */
export function nextRotationMs({ credentials, rotation }: Ledger, { roles }: ObservedLedger): number | undefined {
  if (rotation === undefined) return undefined;
  const moments = LOGINS.flatMap((login) => {
    const [current, other] = [roles[login], roles[otherOf[login]]];
    const at = issuedAtMs(current);
    if (credentials[login] === undefined || at === undefined) return [];
    return [
      ...(rotation.intervalMs === undefined ? [] : [at + rotation.intervalMs]),
      ...(other?.login === true && rotation.overlapMs !== undefined
        ? [endOfOverlap(current, other, rotation.overlapMs)]
        : []),
    ];
  });
  return moments.length === 0 ? undefined : Math.min(...moments);
}
