import type { Life, Phase } from "./life.ts";
import type { Conversation } from "./proxy.ts";

/** Requests that change something in the cluster, by API key (kafka.apache.org/protocol). A group's own are not among them. */
const WRITES = new Map([
  [19, "CreateTopics"],
  [20, "DeleteTopics"],
  [21, "DeleteRecords"],
  [30, "CreateAcls"],
  [31, "DeleteAcls"],
  [33, "AlterConfigs"],
  [37, "CreatePartitions"],
  [42, "DeleteGroups"],
  [44, "IncrementalAlterConfigs"],
  [45, "AlterPartitionReassignments"],
  [47, "OffsetDelete"],
  [49, "AlterClientQuotas"],
  [51, "AlterUserScramCredentials"],
]);

export interface Broker {
  readonly host: string;
  readonly port: number;
}

/**
 * One connection to a broker. The broker's address in what it answers is replaced by the proxy's own, or the client would
 * go round it. `subject` picks the names worth telling out of a request.
 */
export function kafkaConversation(life: Life, broker: Broker, ownPort: () => number, subject: RegExp): Conversation {
  const [requests, responses] = [new Frames(), new Frames()];
  const fates = new Map<number, Exclude<Phase, "before-send">>();

  return {
    fromClient(chunk) {
      const out: Buffer[] = [];
      for (const frame of requests.read(chunk)) {
        const api = WRITES.get(frame.readInt16BE(4));
        if (api !== undefined) {
          const names = [...new Set(frame.toString("latin1").match(subject))];
          const fate = life.reach({ system: "Kafka", what: [api, ...names].join(" ") });
          if (fate === "dead") return undefined;
          if (fate !== "pass") fates.set(frame.readInt32BE(8), fate);
        }
        out.push(frame);
      }
      return Buffer.concat(out);
    },

    fromServer(chunk) {
      const out: Buffer[] = [];
      for (const frame of responses.read(chunk)) {
        const fate = fates.get(frame.readInt32BE(4));
        if (fate === "answer-lost") {
          life.kill();
          return undefined;
        }
        if (fate === "answered") life.doom();
        out.push(readdressed(frame, broker, ownPort()));
      }
      return Buffer.concat(out);
    },
  };
}

/** Host and port stand side by side wherever a broker names one, and both addresses are of one length. */
function readdressed(frame: Buffer, { host, port }: Broker, to: number): Buffer {
  const address = Buffer.concat([Buffer.from(host), int32(port)]);
  const copy = Buffer.from(frame);
  for (let at = copy.indexOf(address); at >= 0; at = copy.indexOf(address, at + 1)) {
    copy.writeInt32BE(to, at + host.length);
  }
  return copy;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** Cuts a stream into frames, each with its length before it. */
class Frames {
  #rest: Buffer = Buffer.alloc(0);

  read(chunk: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const frames: Buffer[] = [];
    while (this.#rest.length >= 4 && this.#rest.length >= 4 + this.#rest.readInt32BE(0)) {
      const end = 4 + this.#rest.readInt32BE(0);
      frames.push(this.#rest.subarray(0, end));
      this.#rest = this.#rest.subarray(end);
    }
    return frames;
  }
}
