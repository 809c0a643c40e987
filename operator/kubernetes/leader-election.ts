import type { Logger } from "pino";
import { sleep } from "../runtime/backoff.ts";
import { microTime } from "../runtime/event-name.ts";
import { AlreadyExistsError, ConflictError, type KubeObject, type ObjectStore } from "../runtime/object-store.ts";

/** coordination.k8s.io/v1 Lease, as far as an election uses it. */
interface Lease extends KubeObject {
  spec?: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    /** RFC 3339 with microseconds. */
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

export interface ElectionOptions {
  readonly store: ObjectStore;
  readonly namespace: string;
  readonly name: string;
  /** Of this process, and of no other that ever was: a pod's name and a random part. */
  readonly identity: string;
  readonly log: Logger;
  /** Ends the candidacy; a leader hands over before the election returns. */
  readonly signal: AbortSignal;
  /** How long others leave a holder alone that is silent. Seconds are what a Lease can say. */
  readonly leaseSeconds?: number;
  /** A leader that could not renew for this long is none any more; well below `leaseSeconds`. */
  readonly renewWithinMs?: number;
  readonly retryMs?: number;
}

/** The lease was lost: whoever led must end, since another may lead already. */
export class LeadershipLostError extends Error {
  override readonly name = "LeadershipLostError";
}

/**
 * Waits for the Lease, runs `lead` while it is held, and hands it over at the end. `lead` is given a signal that is
 * aborted when the candidacy ends or the lease is lost, and must stop writing then.
 *
 * Whether a holder is alive is judged by our own clock, from when its record was last seen to change, never by the times
 * in it: clocks differ. It fences nothing (as client-go says of its own): writes must be compare-and-set or idempotent.
 *
 * @throws LeadershipLostError when the lease was lost without being asked to end
 */
export async function runElected(
  options: ElectionOptions,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { log, signal, identity } = options;
  const election = new Election(options);
  if (!(await election.acquire())) return;
  log.info({ lease: options.name, identity }, "Leading");

  const lost = new AbortController();
  const renewing = new AbortController();
  const renewal = election.keep(renewing.signal).then((held) => {
    if (!held) lost.abort(new LeadershipLostError(`The lease ${options.name} could not be renewed in time`));
  });
  try {
    await lead(AbortSignal.any([signal, lost.signal]));
  } finally {
    renewing.abort();
    await renewal;
    if (!lost.signal.aborted) await election.release();
  }
  if (lost.signal.aborted) throw lost.signal.reason;
}

class Election {
  readonly #options: Required<Pick<ElectionOptions, "leaseSeconds" | "renewWithinMs" | "retryMs">> & ElectionOptions;
  #seen: { version: string; at: number } | undefined;
  #held: Lease | undefined;

  constructor(options: ElectionOptions) {
    this.#options = { leaseSeconds: 15, renewWithinMs: 10_000, retryMs: 2_000, ...options };
  }

  /** False when the candidacy ended first. */
  async acquire(): Promise<boolean> {
    const { signal, retryMs, log, name } = this.#options;
    let waiting = false;
    while (!signal.aborted) {
      if (await this.#attempt(() => this.#take())) return true;
      if (!waiting) log.info({ lease: name, holder: this.#held?.spec?.holderIdentity }, "Waiting for the lease");
      waiting = true;
      await sleep(jittered(retryMs), signal);
    }
    return false;
  }

  /** Renews until the signal is aborted (true), or until it could not for too long (false). */
  async keep(signal: AbortSignal): Promise<boolean> {
    const { retryMs, renewWithinMs } = this.#options;
    let renewed = performance.now();
    while (!signal.aborted) {
      await sleep(retryMs, signal);
      if (signal.aborted) return true;
      const left = renewWithinMs - (performance.now() - renewed);
      const sent = performance.now();
      if (
        left > 0 &&
        (await within(
          left,
          this.#attempt(() => this.#renew()),
        ))
      )
        renewed = sent;
      else if (performance.now() - renewed >= renewWithinMs) return false;
    }
    return true;
  }

  /** Lets another lead at once. */
  async release(): Promise<void> {
    await this.#attempt(async () => {
      await this.#write({ holderIdentity: "", leaseDurationSeconds: 1 });
      return true;
    });
  }

  async #take(): Promise<boolean> {
    const { store, namespace, name, identity } = this.#options;
    const found = await store.get<Lease>({ kind: "Lease", namespace, name });
    if (found === undefined) {
      const metadata = { name, namespace };
      const spec = { ...this.#spec(), acquireTime: microTime(new Date()), leaseTransitions: 0 };
      this.#held = await store.create<Lease>({ ...LEASE, metadata, spec });
      return true;
    }
    const { holderIdentity = "", leaseDurationSeconds = 0, leaseTransitions = 0 } = found.spec ?? {};
    if (found.metadata.resourceVersion !== this.#seen?.version) {
      this.#seen = { version: found.metadata.resourceVersion, at: performance.now() };
    }
    this.#held = found;
    const silentMs = performance.now() - this.#seen.at;
    const free = holderIdentity === "" || holderIdentity === identity;
    if (!free && silentMs < leaseDurationSeconds * 1_000) return false;
    await this.#write({ ...this.#spec(), acquireTime: microTime(new Date()), leaseTransitions: leaseTransitions + 1 });
    return true;
  }

  async #renew(): Promise<boolean> {
    await this.#write(this.#spec());
    return true;
  }

  async #write(spec: Lease["spec"]): Promise<void> {
    if (this.#held === undefined) return;
    this.#held = await this.#options.store.update<Lease>({ ...this.#held, spec: { ...this.#held.spec, ...spec } });
  }

  #spec() {
    const { identity, leaseSeconds } = this.#options;
    return { holderIdentity: identity, leaseDurationSeconds: leaseSeconds, renewTime: microTime(new Date()) };
  }

  /** Whether it worked; a server that does not answer, or a write that came too late, is no. */
  async #attempt(act: () => Promise<boolean>): Promise<boolean> {
    try {
      return await act();
    } catch (error) {
      const { log, name } = this.#options;
      if (error instanceof ConflictError) await this.#reread();
      else if (!(error instanceof AlreadyExistsError)) log.warn({ err: error, lease: name }, "Lease not written");
      return false;
    }
  }

  /** After a conflict: still ours, when only somebody's label or our own unanswered write came in between. */
  async #reread(): Promise<void> {
    const { store, namespace, name, identity } = this.#options;
    const found = await store.get<Lease>({ kind: "Lease", namespace, name }).catch(() => undefined);
    if (found?.spec?.holderIdentity === identity) this.#held = found;
  }
}

const LEASE = { apiVersion: "coordination.k8s.io/v1", kind: "Lease" };

async function within(ms: number, work: Promise<boolean>): Promise<boolean> {
  const stop = new AbortController();
  const timeout = sleep(ms, stop.signal).then(() => false);
  const won = await Promise.race([work, timeout]);
  stop.abort();
  return won;
}

const jittered = (ms: number) => ms * (1 + 0.2 * Math.random());
