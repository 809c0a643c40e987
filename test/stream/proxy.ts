import { connect, createServer, type Server, type Socket } from "node:net";
import { commandOf, errorCodeOf, type Message, MessageReader, portalOf } from "./messages.ts";

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
  /** Springs once, at the next connection that gets there. `onHeld` runs before anything else can go through. */
  arm(trap: Trap, onHeld: () => void): Promise<Held>;
  disarm(): void;
  close(): Promise<void>;
}

/** Asks the server for the answers it has, without ending the implicit transaction as a Sync would. */
const FLUSH = Buffer.from([0x48, 0, 0, 0, 4]);

interface Armed {
  readonly trap: Trap;
  readonly spring: (held: Held) => void;
}

/** Stands between one sink and PostgreSQL on loopback, and knows the protocol's messages. */
export async function startProxy(target: { host: string; port: number }): Promise<Proxy> {
  const links = new Set<Link>();
  const state: { armed: Armed | undefined } = { armed: undefined };
  const server = createServer((client) => {
    const link = new Link(client, connect(target.port, target.host), state);
    links.add(link);
    void link.closed.then(() => links.delete(link));
  });
  const port = await listen(server);

  return {
    port,
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
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const link of links) link.cut();
      await closed;
    },
  };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address === null || typeof address === "string") reject(new Error("No port"));
      else resolve(address.port);
    });
  });
}

/** One connection of the client and its counterpart to the server. */
class Link implements Held {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #state: { armed: Armed | undefined };
  readonly #closed = Promise.withResolvers<void>();
  readonly #resumed = Promise.withResolvers<string>();
  /** What the client sent since the trap sprang; undefined while nothing is held. */
  #held: Buffer[] | undefined;
  #watching = false;
  /** Waits for the server's answers to what is through already: a transaction that failed by itself is not the one. */
  #probing = false;
  #executed = 0;
  #completed = 0;

  constructor(client: Socket, server: Socket, state: { armed: Armed | undefined }) {
    this.#client = client;
    this.#server = server;
    this.#state = state;
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => this.cut());
      socket.on("close", () => this.cut());
    }
    const fromClient = new MessageReader("client");
    const fromServer = new MessageReader("server");
    client.on("data", (chunk) => fromClient.read(chunk).forEach((message) => this.#toServer(message)));
    server.on("data", (chunk) => this.#toClient(fromServer.read(chunk)));
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  resume(): Promise<string> {
    this.#watching = true;
    for (const bytes of this.#held ?? []) this.#server.write(bytes);
    this.#held = undefined;
    return this.#resumed.promise;
  }

  cut(): void {
    this.#client.destroy();
    this.#server.destroy();
    this.#closed.resolve();
    this.#resumed.resolve("08006");
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
      this.#server.write(message.bytes);
      return;
    }
    if (passed > 0) this.#server.write(message.bytes.subarray(0, passed));
    this.#held = [message.bytes.subarray(passed)];
    this.#probing = this.#executed > 0 && passed === 0;
    if (this.#probing) this.#server.write(FLUSH);
    else this.#spring();
  }

  /** The server answered one of the statements before the trap: all of them done is what the trap waits for. */
  #probed(message: Message): void {
    if (errorCodeOf(message) !== undefined || this.#state.armed === undefined) {
      this.#probing = false;
      for (const bytes of this.#held ?? []) this.#server.write(bytes);
      this.#held = undefined;
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

  #toClient(messages: readonly Message[]): void {
    for (const message of messages) {
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
      this.#client.write(message.bytes);
    }
  }

  #spring(): void {
    const { armed } = this.#state;
    this.#state.armed = undefined;
    armed?.spring(this);
  }
}
