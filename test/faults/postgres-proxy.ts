import { type Address, type Cable, type Direction, Network } from "./network.ts";
import { commandOf, errorCodeOf, type Message, MessageReader, portalOf } from "./postgres-messages.ts";

/**
 * Where a sink's transaction is stopped, or its connection cut:
 * - InsideCopy: half a CopyData message is through, the other half is not.
 * - BeforeSettle: everything is sent, before the first statement that takes locks (the id ledger).
 * - AfterIds: the ids are in, their locks held, and progress is not touched.
 * - BeforeCommit: only the COMMIT is missing.
 * - CommitAnswerLost: the server has committed, and the connection breaks before the client is told.
 */
export type Trap = "InsideCopy" | "BeforeSettle" | "AfterIds" | "BeforeCommit" | "CommitAnswerLost";

/** A connection held at a trap. Nothing of it goes through until one of these. */
export interface Held {
  /** Goes on as if nothing had been; resolves to the first SQLSTATE the server answers, or "" once it commits. */
  resume(): Promise<string>;
  /** Breaks the connection on both sides. */
  cut(): void;
}

export interface Proxy {
  readonly port: number;
  readonly network: Network;
  /** Springs once, at the next connection that gets there. `onHeld` runs before anything else can go through. */
  arm(trap: Trap, onHeld: () => void): Promise<Held>;
  disarm(): void;
  /** Called before the n-th message from now on, in either direction, goes through; that message and all after it do not. */
  onMessage(n: number, reached: (message: string) => void): void;
  close(): Promise<void>;
}

/** Asks the server for the answers it has, without ending the implicit transaction as a Sync would. */
const FLUSH = Buffer.from([0x48, 0, 0, 0, 4]);

interface Armed {
  readonly trap: Trap;
  readonly spring: (held: Held) => void;
}

interface State {
  armed: Armed | undefined;
  countdown: { left: number; reached: (message: string) => void } | undefined;
}

/** Stands between one sink and PostgreSQL on loopback, and knows the protocol's messages. */
export async function startProxy(target: Address): Promise<Proxy> {
  const state: State = { armed: undefined, countdown: undefined };
  const network = new Network(target, (cable) => new Link(cable, state));
  return {
    port: await network.listen(),
    network,
    arm(trap, onHeld) {
      const { promise, resolve } = Promise.withResolvers<Held>();
      const spring = (held: Held) => {
        onHeld();
        resolve(held);
      };
      state.armed = { trap, spring };
      return promise;
    },
    disarm() {
      state.armed = undefined;
      state.countdown = undefined;
    },
    onMessage(n, reached) {
      state.countdown = { left: n, reached };
    },
    close: () => network.close(),
  };
}

/** One connection of the client and its counterpart to the server. */
class Link implements Held {
  readonly #cable: Cable;
  readonly #state: State;
  readonly #resumed = Promise.withResolvers<string>();
  readonly #fromClient = new MessageReader("client");
  readonly #fromServer = new MessageReader("server");
  /** What the client sent since the trap sprang; undefined while nothing is held. */
  #held: Buffer[] | undefined;
  #watching = false;
  /** Waits for the server's answers to what is through already: a transaction that failed by itself is not the one. */
  #probing = false;
  #executed = 0;
  #completed = 0;

  constructor(cable: Cable, state: State) {
    this.#cable = cable;
    this.#state = state;
    void cable.closed.then(() => this.#resumed.resolve("08006"));
  }

  fromClient(bytes: Buffer): void {
    for (const message of this.#fromClient.read(bytes)) {
      if (this.#counted("ToServer", message)) this.#toServer(message);
    }
  }

  fromServer(bytes: Buffer): void {
    for (const message of this.#fromServer.read(bytes)) {
      if (this.#counted("ToClient", message)) this.#toClient(message);
    }
  }

  resume(): Promise<string> {
    this.#watching = true;
    this.#release();
    return this.#resumed.promise;
  }

  cut(): void {
    this.#cable.cut();
  }

  #release(): void {
    for (const bytes of this.#held ?? []) this.#cable.send("ToServer", bytes);
    this.#held = undefined;
  }

  /** Whether the message goes through: the one that is waited for does not, and neither does any after it. */
  #counted(direction: Direction, { type }: Message): boolean {
    const { countdown } = this.#state;
    if (countdown === undefined) return true;
    countdown.left -= 1;
    if (countdown.left === 0) countdown.reached(`${type || "startup"} ${direction}`);
    return countdown.left > 0;
  }

  #toServer(message: Message): void {
    if (this.#held !== undefined) {
      this.#held.push(message.bytes);
      return;
    }
    const passed = this.#passedBeforeHold(message);
    if (passed === undefined) {
      if (message.type === "S") this.#executed = 0;
      if (message.type === "E") this.#executed += 1;
      this.#cable.send("ToServer", message.bytes);
      return;
    }
    if (passed > 0) this.#cable.send("ToServer", message.bytes.subarray(0, passed));
    this.#held = [message.bytes.subarray(passed)];
    this.#probing = this.#executed > 0 && passed === 0;
    if (this.#probing) this.#cable.send("ToServer", FLUSH);
    else this.#spring();
  }

  /** The server answered one of the statements before the trap: all of them done is what the trap waits for. */
  #probed(message: Message): void {
    if (errorCodeOf(message) !== undefined || this.#state.armed === undefined) {
      this.#probing = false;
      this.#release();
    } else if (this.#completed === this.#executed) {
      this.#probing = false;
      this.#spring();
    }
  }

  /** How many bytes of the message go through before the armed trap holds; undefined where it does not spring here. */
  #passedBeforeHold(message: Message): number | undefined {
    const portal = portalOf(message);
    switch (this.#state.armed?.trap) {
      case "InsideCopy":
        return message.type === "d" ? Math.floor(message.bytes.length / 2) : undefined;
      case "BeforeSettle":
        return portal === "ids" ? 0 : undefined;
      case "AfterIds":
        return portal?.startsWith("advance") ? 0 : undefined;
      case "BeforeCommit":
        return portal === "commit" ? 0 : undefined;
      default:
        return undefined;
    }
  }

  #toClient(message: Message): void {
    const command = commandOf(message);
    if (command !== undefined) this.#completed += 1;
    if (message.type === "Z") this.#completed = 0;
    if (this.#probing) this.#probed(message);
    if (command === "COMMIT" && this.#state.armed?.trap === "CommitAnswerLost") {
      this.#spring();
      this.cut();
      return;
    }
    if (this.#watching && command === "COMMIT") this.#resumed.resolve("");
    const code = errorCodeOf(message);
    if (this.#watching && code !== undefined) this.#resumed.resolve(code);
    this.#cable.send("ToClient", message.bytes);
  }

  #spring(): void {
    const { armed } = this.#state;
    this.#state.armed = undefined;
    armed?.spring(this);
  }
}
