import type { Logger } from "pino";
import { StalledError, WaitingError } from "../errors.ts";

/** What stands in the way of one part of a resource. */
export interface Problem {
  readonly kind: "Waiting" | "Stalled" | "Failed";
  readonly reason: string;
  readonly message: string;
  /** With its stack, where there was one. */
  readonly error?: unknown;
}

export function problemOf(error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof WaitingError) return { kind: "Waiting", reason: error.reason, message, error };
  if (error instanceof StalledError) return { kind: "Stalled", reason: error.reason, message, error };
  return { kind: "Failed", reason: "Failed", message, error };
}

export interface ProblemObserver {
  /** A pass met it. */
  problem(problem: Problem): void;
  /** It began (1) or ended (-1) for one resource. */
  standing(problem: Problem, delta: 1 | -1): void;
}

/** The problems each key has now: the log hears of them when they change, not at every pass. */
export class StandingProblems {
  readonly #observer: ProblemObserver | undefined;
  readonly #standing = new Map<string, readonly Problem[]>();

  constructor(observer?: ProblemObserver) {
    this.#observer = observer;
  }

  update(key: string, problems: readonly Problem[], log: Logger): void {
    const before = this.#standing.get(key) ?? [];
    for (const problem of problems) this.#observer?.problem(problem);
    for (const problem of before) this.#observer?.standing(problem, -1);
    for (const problem of problems) this.#observer?.standing(problem, 1);
    if (problems.length > 0) this.#standing.set(key, problems);
    else this.#standing.delete(key);

    const known = new Set(before.map(signature));
    for (const problem of problems.filter((one) => !known.has(signature(one)))) tell(problem, log);
    if (before.length > 0 && problems.length === 0) log.info("Problems are over");
  }
}

/** Numbers move while a problem stays the same: records left, offsets, attempts. */
const signature = ({ kind, reason, message }: Problem) => `${kind}/${reason}/${message.replace(/\d+/g, "#")}`;

function tell({ kind, reason, message, error }: Problem, log: Logger): void {
  if (kind === "Waiting") log.info({ reason, message }, "Waiting for a dependency");
  else if (kind === "Stalled") log.warn({ reason, message }, "Stalled until the resource changes");
  else log.error({ err: error, reason, message }, "Reconcile failed");
}
