import { type Address, type Cable, Network, type Reader } from "./network.ts";

/** Requests of Kafka's protocol that a sink sends (https://kafka.apache.org/protocol, API keys). */
export const apiKeys = {
  Produce: 0,
  Fetch: 1,
  ListOffsets: 2,
  Metadata: 3,
  OffsetCommit: 8,
  FindCoordinator: 10,
  JoinGroup: 11,
  Heartbeat: 12,
  SyncGroup: 14,
} as const;
export type Api = keyof typeof apiKeys;

const nameOf = (key: number) => Object.entries(apiKeys).find(([, known]) => known === key)?.[0] ?? `request ${key}`;

export interface KafkaProxy {
  readonly port: number;
  readonly network: Network;
  /** The broker gets and does what the next such request asks for; the connection breaks before its answer is passed on. */
  loseAnswer(api: Api): Promise<void>;
  /** Cuts the connection instead of passing on every request of that kind, until disarmed. */
  cutAt(api: Api): void;
  /** Called before the n-th request from now on of the client of that id goes through; it and all after it do not. */
  onRequest(clientId: string, n: number, reached: (api: string) => void): void;
  disarm(): void;
  close(): Promise<void>;
}

interface Countdown {
  readonly clientId: string;
  left: number;
  readonly reached: (api: string) => void;
}

interface State {
  losing: { readonly api: Api; readonly lost: () => void } | undefined;
  cutAt: Api | undefined;
  countdown: Countdown | undefined;
}

/** Stands before one broker whose advertised listener it is, and knows which request an answer belongs to. */
export async function startKafkaProxy(target: Address, port: number): Promise<KafkaProxy> {
  const state: State = { losing: undefined, cutAt: undefined, countdown: undefined };
  const network = new Network(target, (cable) => new Link(cable, state));
  return {
    port: await network.listen(port),
    network,
    loseAnswer: (api) =>
      new Promise((lost) => {
        state.losing = { api, lost };
      }),
    cutAt(api) {
      state.cutAt = api;
    },
    onRequest(clientId, n, reached) {
      state.countdown = { clientId, left: n, reached };
    },
    disarm() {
      state.countdown = undefined;
      state.losing = undefined;
      state.cutAt = undefined;
    },
    close: () => network.close(),
  };
}

/**
 * Frames are an int32 length and as many bytes; a request begins with int16 key, int16 version, int32 correlation id, and
 * the client's id after an int16 length.
 */
class Link implements Reader {
  readonly #cable: Cable;
  readonly #state: State;
  readonly #requests = new Frames();
  readonly #answers = new Frames();
  /** API keys of requests that are not answered, by correlation id. */
  readonly #open = new Map<number, number>();

  constructor(cable: Cable, state: State) {
    this.#cable = cable;
    this.#state = state;
  }

  fromClient(bytes: Buffer): void {
    for (const frame of this.#requests.read(bytes)) {
      const key = frame.readInt16BE(4);
      if (this.#is(key, this.#state.cutAt)) return this.#cable.cut();
      if (!this.#counted(frame)) return;
      this.#open.set(frame.readInt32BE(8), key);
      this.#cable.send("ToServer", frame);
    }
  }

  fromServer(bytes: Buffer): void {
    for (const frame of this.#answers.read(bytes)) {
      const correlation = frame.readInt32BE(4);
      const key = this.#open.get(correlation);
      this.#open.delete(correlation);
      const { losing } = this.#state;
      if (losing !== undefined && this.#is(key, losing.api)) {
        this.#state.losing = undefined;
        losing.lost();
        return this.#cable.cut();
      }
      this.#cable.send("ToClient", frame);
    }
  }

  /** Whether it goes through: the one that is waited for does not, and neither does any after it of the same client. */
  #counted(frame: Buffer): boolean {
    const { countdown } = this.#state;
    if (countdown?.clientId !== frame.toString("utf8", 14, 14 + Math.max(0, frame.readInt16BE(12)))) return true;
    countdown.left -= 1;
    if (countdown.left === 0) countdown.reached(nameOf(frame.readInt16BE(4)));
    return countdown.left > 0;
  }

  #is(key: number | undefined, api: Api | undefined): boolean {
    return api !== undefined && key === apiKeys[api];
  }
}

class Frames {
  #rest: Buffer = Buffer.alloc(0);

  read(chunk: Buffer): Buffer[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const whole: Buffer[] = [];
    while (this.#rest.length >= 4 && this.#rest.length >= 4 + this.#rest.readInt32BE(0)) {
      const end = 4 + this.#rest.readInt32BE(0);
      whole.push(this.#rest.subarray(0, end));
      this.#rest = this.#rest.subarray(end);
    }
    return whole;
  }
}
