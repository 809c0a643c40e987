import { WaitingError } from "../errors.ts";
import type { Outcome } from "../runtime/controller.ts";
import { type Problem, problemOf } from "../runtime/problems.ts";
import { type Report, reportOf, type Trouble } from "../status/conditions.ts";

/**
 * Runs the parts of a pass so that one failing part does not stop its siblings, and then says once what went wrong and
 * when to look again: a wait asks for its time, a stall for nothing, an error without a meaning of its own for a back-off.
 */
export class Attempts {
  readonly #problems: Problem[] = [];
  readonly #waits: number[] = [];

  /** What `work` answers, or the report of what went wrong. */
  async run<T>(work: () => Promise<T>): Promise<{ value: T } | { report: Trouble }> {
    try {
      return { value: await work() };
    } catch (error) {
      this.#problems.push(problemOf(error));
      if (error instanceof WaitingError) this.#waits.push(error.requeueAfterMs);
      return { report: reportOf(error) };
    }
  }

  /** What a part found without an error. `lookAgainMs`: when it may have changed by itself. */
  note(report: Report, lookAgainMs?: number): void {
    if (report.kind === "Waiting" || report.kind === "Stalled" || report.kind === "Failed") this.#problems.push(report);
    if (lookAgainMs !== undefined) this.#waits.push(lookAgainMs);
  }

  end<O extends object>(outcome: O): O & Outcome {
    return {
      ...outcome,
      ...(this.#waits.length === 0 ? {} : { requeueAfterMs: Math.min(...this.#waits) }),
      ...(this.#problems.length === 0 ? {} : { problems: this.#problems }),
    };
  }
}
