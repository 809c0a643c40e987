import type { Condition, ConditionType, Reason } from "../../crds/v1alpha1/conditions.ts";
import { REASONS } from "../../crds/v1alpha1/conditions.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { Refusal } from "../plan/plan.ts";

/** One thing a pass found out, before it has a time. */
export interface Finding {
  readonly type: ConditionType;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: Reason;
  readonly message: string;
}

/** How one component of a resource fared. */
export type Report = Fine | Trouble | Suspended;

export interface Fine {
  readonly kind: "Ok";
  readonly message: string;
  /** What a person should know all the same; default Succeeded. */
  readonly reason?: Reason;
}

/** `Waiting` and `Failed` are looked at again by themselves, `Stalled` only after a change. */
export interface Trouble {
  readonly kind: "Waiting" | "Stalled" | "Failed";
  readonly reason: Reason;
  readonly message: string;
}

/** Nothing is done because the spec asks for nothing: as the spec says, so nobody has to be called. */
export interface Suspended {
  readonly kind: "Suspended";
  /** Of the component's own condition. */
  readonly status: "True" | "Unknown";
  readonly message: string;
}

/**
 * The next list of conditions: findings replace what was there, a condition no longer found is gone, and
 * `lastTransitionTime` moves only where `status` does (metav1.Condition). `now` is RFC 3339.
 */
export function nextConditions(
  previous: readonly Condition[] | undefined,
  findings: readonly Finding[],
  { generation, now }: { generation: number; now: string },
): Condition[] {
  return findings.map((finding) => {
    const before = previous?.find((condition) => condition.type === finding.type);
    const unmoved = before?.status === finding.status;
    return {
      ...finding,
      observedGeneration: generation,
      lastTransitionTime: unmoved ? before.lastTransitionTime : now,
    };
  });
}

const isTrouble = (report: Report): report is Trouble => report.kind !== "Ok" && report.kind !== "Suspended";

/** The condition of one component: the worst of its reports. */
export function componentFinding(type: ConditionType, reports: readonly Report[]): Finding {
  const bad = worstOf(reports);
  if (bad !== undefined) return { type, status: "False", reason: bad.reason, message: bad.message };
  const suspended = reports.find((report) => report.kind === "Suspended");
  if (suspended !== undefined) {
    return { type, status: suspended.status, reason: "Suspended", message: suspended.message };
  }
  const messages = reports.map((report) => report.message).filter((message) => message !== "");
  const reason = reports.flatMap((report) => (report.kind === "Ok" ? (report.reason ?? []) : []))[0] ?? "Succeeded";
  return { type, status: "True", reason, message: messages.join("; ") };
}

function worstOf(reports: readonly Report[]): Trouble | undefined {
  const bad = reports.filter(isTrouble);
  return bad.find((report) => report.kind === "Stalled") ?? bad[0];
}

/** `Ready`, and beside it `Reconciling` or `Stalled` while they hold: what kstatus and `kubectl wait` read. */
export function summary(
  reports: readonly Report[],
  readyMessage: string,
  readyReason: Reason = "Succeeded",
): Finding[] {
  const worst = worstOf(reports);
  if (worst === undefined) {
    const suspended = reports.find((report) => report.kind === "Suspended");
    if (suspended === undefined) return [{ type: "Ready", status: "True", reason: readyReason, message: readyMessage }];
    return [{ type: "Ready", status: "True", reason: "Suspended", message: suspended.message }];
  }
  const { reason, message } = worst;
  const moving = reports.filter(isTrouble).find((report) => report.kind !== "Stalled");
  return [
    { type: "Ready", status: "False", reason, message },
    ...(moving
      ? [{ type: "Reconciling" as const, status: "True" as const, reason: moving.reason, message: moving.message }]
      : []),
    ...(worst.kind === "Stalled" ? [{ type: "Stalled" as const, status: "True" as const, reason, message }] : []),
  ];
}

/** What an error means for a condition. Errors without a name of their own keep their message: adapters hold no secrets in it. */
export function reportOf(error: unknown): Trouble {
  if (error instanceof WaitingError) return { kind: "Waiting", reason: known(error.reason), message: error.message };
  if (error instanceof StalledError) return { kind: "Stalled", reason: known(error.reason), message: error.message };
  return { kind: "Failed", reason: "Failed", message: error instanceof Error ? error.message : String(error) };
}

/** A refusal stands until the spec or the owner changes. */
export const refused = ({ reason, message }: Refusal): Trouble => ({ kind: "Stalled", reason: known(reason), message });

/** While a deletion waits the resource is not ready, whatever it was before; what else was known of it stays. */
export function blockedConditions(
  previous: readonly Condition[] | undefined,
  error: unknown,
  at: { generation: number; now: string },
): Condition[] {
  const report = reportOf(error);
  const { reason, message } = report;
  const findings = [
    ...summary([report], ""),
    { type: "DeletionBlocked", status: "True", reason, message } satisfies Finding,
  ];
  const replaced: readonly ConditionType[] = ["Ready", "Reconciling", "Stalled", "DeletionBlocked"];
  return [
    ...nextConditions(previous, findings, at),
    ...(previous ?? []).filter(({ type }) => !replaced.includes(type)),
  ];
}

const known = (reason: string): Reason => (reason in REASONS ? (reason as Reason) : "Failed");
