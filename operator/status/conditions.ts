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
export type Report =
  | { readonly kind: "Ok"; readonly message: string }
  /** `Waiting` and `Failed` are looked at again by themselves, `Stalled` only after a change. */
  | { readonly kind: "Waiting" | "Stalled" | "Failed"; readonly reason: Reason; readonly message: string };

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

/** `Ready`, and beside it `Reconciling` or `Stalled` while they hold: what kstatus and `kubectl wait` read. */
export function summary(reports: readonly Report[], readyMessage: string): Finding[] {
  const bad = reports.filter((report) => report.kind !== "Ok");
  const worst = bad.find((report) => report.kind === "Stalled") ?? bad[0];
  if (worst === undefined) return [{ type: "Ready", status: "True", reason: "Succeeded", message: readyMessage }];

  const { reason, message } = worst;
  const moving = bad.find((report) => report.kind !== "Stalled");
  return [
    { type: "Ready", status: "False", reason, message },
    ...(moving
      ? [{ type: "Reconciling" as const, status: "True" as const, reason: moving.reason, message: moving.message }]
      : []),
    ...(worst.kind === "Stalled" ? [{ type: "Stalled" as const, status: "True" as const, reason, message }] : []),
  ];
}

/** What an error means for a condition. Errors without a name of their own keep their message: adapters hold no secrets in it. */
export function reportOf(error: unknown): Exclude<Report, { kind: "Ok" }> {
  if (error instanceof WaitingError) return { kind: "Waiting", reason: known(error.reason), message: error.message };
  if (error instanceof StalledError) return { kind: "Stalled", reason: known(error.reason), message: error.message };
  return { kind: "Failed", reason: "Failed", message: error instanceof Error ? error.message : String(error) };
}

/** A refusal stands until the spec or the owner changes. */
export const refused = ({ reason, message }: Refusal): Report => ({ kind: "Stalled", reason: known(reason), message });

const known = (reason: string): Reason => (reason in REASONS ? (reason as Reason) : "Failed");
