import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export type Direction = "ToServer" | "ToClient";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What reads one connection's bytes and passes them on; nothing goes through by itself. */
export interface Reader {
  fromClient(bytes: Buffer): void;
  fromServer(bytes: Buffer): void;
}

/** One client's connection and its counterpart to the server. */
export interface Cable {
  send(direction: Direction, bytes: Buffer): void;
  /** Breaks it on both sides. */
  cut(): void;
  readonly closed: Promise<void>;
}

/**
 * What lies between clients and one server on loopback: whole, slow, silent one way or both ways, refusing, or cut. Silent is
 * as with lost packets: nothing arrives and nobody is told, and what was sent arrives once the silence ends. `target` is
 * asked for each new connection, so that a successor can stand where a server was.
 */
export class Network {
  readonly #cables = new Set<TcpCable>();
  readonly #state: State = { silent: new Set(), answersAfterMs: 0 };
  readonly #server: Server;
  #refusing = false;

  constructor(target: Address, read: (cable: Cable) => Reader = passOn) {
    this.#server = createServer((client) => {
      if (this.#refusing) {
        client.destroy();
        return;
      }
      const cable = new TcpCable(client, connect(target.port, target.host), this.#state, read);
      this.#cables.add(cable);
      void cable.closed.then(() => this.#cables.delete(cable));
    });
  }

  /** @returns the port where clients are taken */
  listen(port = 0): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", () => {
        const address = this.#server.address();
        if (address === null || typeof address === "string") reject(new Error("No port"));
        else resolve(address.port);
      });
    });
  }

  /** Nothing arrives in these directions any more, on connections there are and on new ones. */
  silence(...directions: Direction[]): void {
    for (const direction of directions) this.#state.silent.add(direction);
  }

  /** Every answer takes so much longer. Requests on one connection overtake nothing, as with a server that is slow. */
  delayAnswers(ms: number): void {
    this.#state.answersAfterMs = ms;
  }

  /** Cuts every connection and takes no new one. */
  refuse(): void {
    this.#refusing = true;
    this.cut();
  }

  cut(): void {
    for (const cable of this.#cables) cable.cut();
  }

  /** Takes connections again, and everything held back arrives. */
  heal(): void {
    this.#refusing = false;
    this.#state.silent.clear();
    this.#state.answersAfterMs = 0;
    for (const cable of this.#cables) cable.flush();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }
}

const passOn = (cable: Cable): Reader => ({
  fromClient: (bytes) => cable.send("ToServer", bytes),
  fromServer: (bytes) => cable.send("ToClient", bytes),
});

interface State {
  readonly silent: Set<Direction>;
  answersAfterMs: number;
}

class TcpCable implements Cable {
  readonly #sockets: Readonly<Record<Direction, Socket>>;
  readonly #state: State;
  #lastAnswer: Promise<void> = Promise.resolve();
  readonly #heldBack: Readonly<Record<Direction, Buffer[]>> = { ToServer: [], ToClient: [] };
  readonly #closed = Promise.withResolvers<void>();

  constructor(client: Socket, server: Socket, state: State, read: (cable: Cable) => Reader) {
    this.#sockets = { ToServer: server, ToClient: client };
    this.#state = state;
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => this.cut());
      socket.on("close", () => this.cut());
    }
    const reader = read(this);
    client.on("data", (bytes) => reader.fromClient(bytes));
    server.on("data", (bytes) => reader.fromServer(bytes));
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  send(direction: Direction, bytes: Buffer): void {
    const { answersAfterMs } = this.#state;
    if (direction === "ToServer") return this.#sendNow(direction, bytes);
    const due = answersAfterMs === 0 ? undefined : sleep(answersAfterMs);
    this.#lastAnswer = this.#lastAnswer.then(() => due).then(() => this.#sendNow(direction, bytes));
  }

  #sendNow(direction: Direction, bytes: Buffer): void {
    if (this.#state.silent.has(direction)) this.#heldBack[direction].push(bytes);
    else this.#sockets[direction].write(bytes);
  }

  flush(): void {
    for (const direction of ["ToServer", "ToClient"] as const) {
      for (const bytes of this.#heldBack[direction].splice(0)) this.#sockets[direction].write(bytes);
    }
  }

  cut(): void {
    for (const socket of Object.values(this.#sockets)) socket.destroy();
    this.#closed.resolve();
  }
}
