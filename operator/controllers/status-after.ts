import type { Outcome, Result } from "../runtime/controller.ts";

/** The status of each way a pass can end; `S` is the kind's status. */
interface Endings<O extends Outcome, S> {
  reconciled(outcome: O): S;
  failed(error: unknown): S;
  blocked(error: unknown): S;
  /** Nothing was looked at: what is known stays. */
  readonly present: S | undefined;
}

/** Reconciler.status of our kinds. Pure. */
export function statusAfter<O extends Outcome, S>(result: Result<O>, endings: Endings<O, S>): S | undefined {
  switch (result.kind) {
    case "Reconciled":
      return endings.reconciled(result.outcome);
    case "Failed":
      return endings.failed(result.error);
    case "FinalizeBlocked":
      return endings.blocked(result.error);
    case "Paused":
      return endings.present;
  }
}
