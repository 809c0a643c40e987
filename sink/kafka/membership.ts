import { decodeAssignment, encodeAssignment, encodeSubscription, protocolName, shareOut } from "./assignment.ts";
import { backoffMs, pause } from "./backoff.ts";
import type { GroupHandlers, ReaderOptions } from "./port.ts";
import {
  type Broker,
  BrokerError,
  ConnectionError,
  type ErrorName,
  errorCodes,
  isBrokerError,
  type KafkaProtocol,
} from "./protocol.ts";

/** What ends a generation for this member. */
type End = "rebalance" | "lost" | "left";

interface Generation {
  readonly generationId: number;
  readonly memberId: string;
  readonly leads: boolean;
  readonly partitions: readonly number[];
  /** The topic's partitions as the leader knew them when it shared them out. */
  readonly partitionCount: number;
  /** `assigned` was called; a generation that ended before its turn is never mentioned to the handlers. */
  announced: boolean;
}

/** Trying again changes nothing about these: the configuration or the access rights must. */
const refusals: readonly ErrorName[] = [
  "GROUP_AUTHORIZATION_FAILED",
  "TOPIC_AUTHORIZATION_FAILED",
  "INVALID_GROUP_ID",
  "INVALID_SESSION_TIMEOUT",
  "INCONSISTENT_GROUP_PROTOCOL",
  "UNSUPPORTED_VERSION",
];
const coordinatorMoved: readonly ErrorName[] = [
  "NOT_COORDINATOR",
  "COORDINATOR_NOT_AVAILABLE",
  "COORDINATOR_LOAD_IN_PROGRESS",
];
/** How long a request about the group may take beyond what the broker waits by itself. */
const answerMs = 5_000;

/**
 * Membership of a consumer group by the classic protocol, eager: all partitions are given up before each rebalance.
 *
 * The session is counted from the last answer, as in the Java client: from when that was asked for, a coordinator that
 * takes half a session for its answers would be left by all its members, again and again. So we may hold ourselves a member
 * for a while after the coordinator no longer does, which the epochs of the ledger make harmless.
 *
 * Handlers run one at a time. `revoked` has the rebalance timeout less one heartbeat; a handler that needs longer is told
 * `lost`, since the partitions may then be another's.
 */
export class GroupMembership {
  readonly #protocol: KafkaProtocol;
  readonly #options: ReaderOptions;
  readonly #handlers: GroupHandlers;
  readonly #partitionCount: () => number;
  readonly #leaving = new AbortController();
  readonly #first = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #coordinator: Broker | undefined;
  #memberId = "";
  #generation: Generation | undefined;
  #lastHeartbeatMs = Number.NEGATIVE_INFINITY;
  /** When the coordinator's last answer came that kept or made us a member. */
  #answeredMs = Number.NEGATIVE_INFINITY;
  /** When one was sent, answered or not: the next is due an interval after, however long the answer takes. */
  #heartbeatSentMs = Number.NEGATIVE_INFINITY;
  /** Since when, and why, the coordinator cannot be reached. */
  #failing: { readonly sinceMs: number; cause: unknown } | undefined;
  /** The handler under way, and those waiting behind it. */
  #handling: Promise<void> = Promise.resolve();

  /** `partitionCount`: of the topic, as of the last metadata; when it grows the leader shares out anew. */
  constructor(protocol: KafkaProtocol, options: ReaderOptions, handlers: GroupHandlers, partitionCount: () => number) {
    this.#protocol = protocol;
    this.#options = options;
    this.#handlers = handlers;
    this.#partitionCount = partitionCount;
  }

  get lastHeartbeatMs(): number {
    return this.#lastHeartbeatMs;
  }

  /** Resolves once a member and `assigned` was called; rejects when the group is refused to us. */
  join(): Promise<void> {
    this.#running ??= this.#run();
    return this.#first.promise;
  }

  async commit(offsets: ReadonlyMap<number, bigint>): Promise<void> {
    const generation = this.#generation;
    if (generation === undefined) throw new NotAMemberError(this.#options.groupId);
    const coordinator = await this.#findCoordinator();
    const { groupId, topic } = this.#options;
    await this.#protocol
      .commitOffsets(coordinator, { groupId, ...generation }, topic, offsets, answerMs)
      .catch(this.#forgetCoordinator);
  }

  /** Why the group is out of reach right now, or the last attempt to reach it failed. */
  get failure(): unknown {
    return this.#failing?.cause;
  }

  /** Why there has been no way into the group, or no heartbeat, for the session timeout; it goes on trying. */
  trouble(): Error | undefined {
    if (this.#failing === undefined) return undefined;
    const { sinceMs, cause } = this.#failing;
    const silentMs = performance.now() - sinceMs;
    if (silentMs < this.#options.sessionTimeoutMs) return undefined;
    const { groupId } = this.#options;
    return new ConnectionError(`Group ${groupId} has been out of reach for ${Math.round(silentMs / 1000)} s`, {
      cause,
    });
  }

  /** Gives up the partitions at once, without `revoked`: what the caller wants settled it settles before. */
  async leave(): Promise<void> {
    this.#leaving.abort();
    this.#first.resolve();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#leaving.signal.aborted; ) {
      try {
        const generation = await this.#enter();
        failures = 0;
        this.#failing = undefined;
        await this.#give(await this.#hold(generation), generation);
      } catch (error) {
        this.#lose();
        if (isBrokerError(error, ...refusals)) this.#first.reject(error);
        this.#fail(error);
        await pause(backoffMs(failures++, 100, 2_000), this.#leaving.signal);
      }
    }
    await this.#sendLeave();
  }

  /** Joins and synchronises until there is a generation with us in it. */
  async #enter(): Promise<Generation> {
    const coordinator = await this.#findCoordinator();
    try {
      const generation = await this.#joinOnce(coordinator);
      this.#generation = generation;
      this.#announce(generation);
      this.#first.resolve();
      return generation;
    } catch (error) {
      if (isBrokerError(error, "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID")) this.#memberId = "";
      return this.#forgetCoordinator(error);
    }
  }

  async #joinOnce(coordinator: Broker): Promise<Generation> {
    const { groupId, topic, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options;
    const subscription = encodeSubscription(topic);
    const request = { groupId, sessionTimeoutMs, rebalanceTimeoutMs, protocolName, subscription };
    const patience = rebalanceTimeoutMs + sessionTimeoutMs + answerMs;

    const join = () =>
      this.#unlessLeaving(this.#protocol.joinGroup(coordinator, { ...request, memberId: this.#memberId }, patience));
    let joined = await join();
    if (joined.errorCode === errorCodes.MEMBER_ID_REQUIRED) {
      this.#memberId = joined.memberId;
      joined = await join();
    }
    if (joined.errorCode !== 0) throw new BrokerError(joined.errorCode, `Joining group ${groupId}`);
    this.#memberId = joined.memberId;

    const { generationId, memberId } = joined;
    const leads = joined.leader === memberId;
    const partitionCount = this.#partitionCount();
    const shares = shareOut(leads ? joined.members.map((member) => member.memberId) : [], partitionCount);
    const assignments = [...shares].map(([id, partitions]) => ({
      memberId: id,
      assignment: encodeAssignment(topic, partitions),
    }));
    const sentMs = performance.now();
    const member = { groupId, generationId, memberId, protocolName, assignments };
    const assignment = await this.#unlessLeaving(this.#protocol.syncGroup(coordinator, member, patience));
    this.#answered(sentMs);
    // Held back for longer than an interval perhaps, until the leader shared out: then a heartbeat is due at once.
    this.#heartbeatSentMs = sentMs;
    return {
      generationId,
      memberId,
      leads,
      partitionCount,
      partitions: decodeAssignment(assignment, topic),
      announced: false,
    };
  }

  /** The coordinator holds these answers back until the others have come: leaving does not wait for that. */
  #unlessLeaving<T>(answer: Promise<T>): Promise<T> {
    const { signal } = this.#leaving;
    const left = new Promise<never>((_, reject) => {
      const leave = () => reject(new NotAMemberError(this.#options.groupId));
      if (signal.aborted) leave();
      signal.addEventListener("abort", leave, { once: true });
      answer.finally(() => signal.removeEventListener("abort", leave)).catch(() => undefined);
    });
    return Promise.race([answer, left]);
  }

  /** Heartbeats until something ends the generation. */
  async #hold(generation: Generation): Promise<End> {
    while (!this.#leaving.signal.aborted) {
      await this.#pauseUntilHeartbeat();
      if (this.#leaving.signal.aborted) break;
      const end = await this.#heartbeat(generation);
      if (end !== undefined) return end;
      if (generation.leads && this.#partitionCount() !== generation.partitionCount) return "rebalance";
    }
    return "left";
  }

  /** The session may run out before the next one is due: then we are lost at that moment, not an interval later. */
  #pauseUntilHeartbeat(): Promise<void> {
    const dueInMs = this.#heartbeatSentMs + this.#options.heartbeatIntervalMs - performance.now();
    return pause(Math.max(Math.min(dueInMs, this.#sessionLeftMs()), 1), this.#leaving.signal);
  }

  #sessionLeftMs(): number {
    return this.#answeredMs + this.#options.sessionTimeoutMs - performance.now();
  }

  async #heartbeat(generation: Generation): Promise<End | undefined> {
    const { groupId } = this.#options;
    const sentMs = performance.now();
    const leftMs = this.#sessionLeftMs();
    if (leftMs <= 0) return "lost";
    this.#heartbeatSentMs = sentMs;
    try {
      const coordinator = await this.#findCoordinator();
      await this.#protocol.heartbeat(coordinator, { groupId, ...generation }, Math.min(leftMs, answerMs));
      this.#answered(sentMs);
      this.#failing = undefined;
      return undefined;
    } catch (error) {
      if (isBrokerError(error, "REBALANCE_IN_PROGRESS")) {
        this.#answered(sentMs); // it counts: the coordinator keeps the session of whoever is about to rejoin
        return "rebalance";
      }
      if (isBrokerError(error, "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID")) this.#memberId = "";
      const known = !(error instanceof BrokerError) || error.is(...coordinatorMoved);
      if (!known) return "lost";
      this.#fail(error);
      this.#coordinator = undefined; // the session is still ours; another heartbeat finds the coordinator's new place
      return undefined;
    }
  }

  #answered(sentMs: number): void {
    this.#lastHeartbeatMs = sentMs;
    this.#answeredMs = performance.now();
  }

  async #give(end: End, generation: Generation): Promise<void> {
    if (end === "left") return;
    if (end === "lost") return this.#lose();

    let settled = false;
    const revoked = this.#handle(() => this.#revoke(generation)).then(() => {
      settled = true;
    });
    const deadline = performance.now() + this.#options.rebalanceTimeoutMs - this.#options.heartbeatIntervalMs;
    while (!settled && !this.#leaving.signal.aborted) {
      await Promise.race([revoked, this.#pauseUntilHeartbeat()]);
      if (settled) break;
      if (performance.now() >= deadline || (await this.#heartbeat(generation)) === "lost") return this.#lose();
    }
    this.#generation = undefined;
  }

  #lose(): void {
    const generation = this.#generation;
    this.#generation = undefined;
    if (generation?.announced) this.#handlers.lost(generation.partitions);
  }

  #announce(generation: Generation): void {
    void this.#handle(async () => {
      if (this.#generation !== generation || this.#leaving.signal.aborted) return;
      generation.announced = true;
      await this.#handlers.assigned(generation.partitions);
    });
  }

  async #revoke(generation: Generation): Promise<void> {
    if (this.#generation === generation && generation.announced) await this.#handlers.revoked(generation.partitions);
  }

  /** A handler that fails must not end the membership: its partitions stay without a position, so nothing is read. */
  #handle(handler: () => Promise<void>): Promise<void> {
    this.#handling = this.#handling.then(handler).catch(() => undefined);
    return this.#handling;
  }

  #fail(cause: unknown): void {
    this.#failing = { sinceMs: this.#failing?.sinceMs ?? performance.now(), cause };
  }

  async #findCoordinator(): Promise<Broker> {
    this.#coordinator ??= await this.#protocol.findCoordinator(this.#options.groupId, answerMs);
    return this.#coordinator;
  }

  readonly #forgetCoordinator = (error: unknown): never => {
    if (!(error instanceof BrokerError) || error.is(...coordinatorMoved)) this.#coordinator = undefined;
    throw error;
  };

  /** So that the others need not wait for the session to run out. */
  async #sendLeave(): Promise<void> {
    const generation = this.#generation ?? { generationId: -1, memberId: this.#memberId };
    this.#generation = undefined;
    this.#lastHeartbeatMs = Number.NEGATIVE_INFINITY;
    if (generation.memberId === "") return;
    const { groupId } = this.#options;
    try {
      const { generationId, memberId } = generation;
      await this.#protocol.leaveGroup(await this.#findCoordinator(), { groupId, generationId, memberId }, answerMs);
    } catch {
      // Nobody to tell: the session runs out.
    }
    this.#memberId = "";
  }
}

export class NotAMemberError extends Error {
  override readonly name = "NotAMemberError";

  constructor(groupId: string) {
    super(`Not a member of group ${groupId}: it is joining, was left, or went on without us`);
  }
}
