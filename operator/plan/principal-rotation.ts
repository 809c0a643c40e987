import type { OtherPrincipal } from "../desired/kafka-secret.ts";
import type { Rotation } from "../desired/rotation.ts";

/** A pipeline's user in force: what its Secret says, and nothing else. */
export interface IssuedPrincipal {
  readonly username: string;
  readonly password: string;
  readonly issuedAtMs: number;
  /** `Rotation.request` when it got its password. */
  readonly request?: string | undefined;
  readonly other?: OtherPrincipal | undefined;
}

type Issue = Omit<IssuedPrincipal, "username" | "password">;

/** One whose predecessor is still good waits for that to end: a user has two names only. */
export const mustRotate = (issue: Issue, rotation: Rotation): boolean =>
  issue.other !== "Expiring" && isDue(issue, rotation);

/** A rotation that ended half-way goes on while there is a reason for it; what it left is taken away otherwise. */
export function mustRetire(issue: Issue, rotation: Rotation): boolean {
  if (issue.other === undefined) return false;
  return issue.other === "Making" ? !isDue(issue, rotation) : rotation.nowMs >= endOfOverlap(issue, rotation);
}

/** When something falls due by itself, or undefined. */
export function nextChangeMs(issue: Issue, rotation: Rotation): number | undefined {
  if (issue.other === "Expiring") return endOfOverlap(issue, rotation);
  return rotation.intervalMs === undefined ? undefined : issue.issuedAtMs + rotation.intervalMs;
}

function isDue({ issuedAtMs, request }: Issue, rotation: Rotation): boolean {
  const isAskedFor = rotation.request !== undefined && rotation.request !== request;
  return isAskedFor || (rotation.intervalMs !== undefined && rotation.nowMs >= issuedAtMs + rotation.intervalMs);
}

const endOfOverlap = ({ issuedAtMs }: Issue, { overlapMs = Number.POSITIVE_INFINITY }: Rotation) =>
  issuedAtMs + overlapMs;
