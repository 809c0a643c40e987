import { WaitingError } from "../errors.ts";
import { type Report, reportOf } from "../status/conditions.ts";

/** A pass that did what it could: what went well stands in `outcome`, and the loop backs off as for any error. */
export class PartialFailure<O> extends Error {
  override readonly name = "PartialFailure";
  readonly outcome: O;
  constructor(outcome: O, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.outcome = outcome;
  }
}

/**
 * Runs the parts of a pass so that one failing part does not stop its siblings, and then says once when to look again:
 * an error without a meaning of its own backs off, a wait asks for its time, a stall asks for nothing.
 */
export class Attempts {
  readonly #errors: unknown[] = [];

  /** What `work` answers, or the report of what went wrong. */
  async run<T>(work: () => Promise<T>): Promise<{ value: T } | { report: Exclude<Report, { kind: "Ok" }> }> {
    try {
      return { value: await work() };
    } catch (error) {
      this.#errors.push(error);
      return { report: reportOf(error) };
    }
  }

  /** @throws PartialFailure */
  end<O extends object>(outcome: O): O & { requeueAfterMs?: number } {
    const failed = this.#errors.find((error) => reportOf(error).kind === "Failed");
    if (failed !== undefined) throw new PartialFailure(outcome, failed);
    const waits = this.#errors.filter((error) => error instanceof WaitingError).map((error) => error.requeueAfterMs);
    return waits.length === 0 ? outcome : { ...outcome, requeueAfterMs: Math.min(...waits) };
  }
}
