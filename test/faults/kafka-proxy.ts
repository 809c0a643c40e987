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

export interface KafkaProxy {
  readonly port: number;
  readonly network: Network;
  /** The broker gets and does what the next such request asks for; the connection breaks before its answer is passed on. */
  loseAnswer(api: Api): Promise<void>;
  /** Cuts the connection instead of passing on every request of that kind, until disarmed. */
  cutAt(api: Api): void;
  disarm(): void;
  close(): Promise<void>;
}

interface State {
  losing: { readonly api: Api; readonly lost: () => void } | undefined;
  cutAt: Api | undefined;
}

/** Stands before one broker whose advertised listener it is, and knows which request an answer belongs to. */
export async function startKafkaProxy(target: Address, port: number): Promise<KafkaProxy> {
  const state: State = { losing: undefined, cutAt: undefined };
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
    disarm() {
      state.losing = undefined;
      state.cutAt = undefined;
    },
    close: () => network.close(),
  };
}

/** Frames are an int32 length and as many bytes; a request begins with int16 key, int16 version, int32 correlation id. */
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
