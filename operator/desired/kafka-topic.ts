import type { KafkaBackend } from "../config.ts";

/** One topic as it should be. `config` has the keys we own; `null` = not ours, whatever it is there. */
export interface Topic {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly config: Readonly<Record<string, string | null>>;
}

export interface Topics {
  readonly topic: Topic;
  /** Absent: dead-lettering is switched off. */
  readonly deadLetter: Topic | undefined;
}

/** AuditTopic's spec, with the defaults of the schema filled in or not. Durations and quantities as the user writes them. */
export interface TopicSettings {
  readonly topicName?: string | undefined;
  readonly partitions?: number | undefined;
  readonly replicationFactor?: number | undefined;
  readonly minInSyncReplicas?: number | undefined;
  readonly retention?: { readonly time?: string | undefined; readonly size?: string | number | undefined } | undefined;
  readonly compressionType?: "Zstd" | "Lz4" | "Snappy" | "Gzip" | "Producer" | undefined;
  readonly maxMessageSize?: string | number | undefined;
  readonly config?: Readonly<Record<string, string | null>> | undefined;
  readonly deadLetter?:
    | {
        readonly enabled?: boolean | undefined;
        readonly topicName?: string | undefined;
        readonly partitions?: number | undefined;
        readonly retention?: { readonly time?: string | undefined } | undefined;
      }
    | undefined;
}

/** What of the back-end decides about a topic. */
export type TopicBackend = Pick<KafkaBackend, "name" | "namePrefix" | "replicationFactor" | "maxPartitions">;

/** @throws StalledError NameNotAllowed, InvalidTopicConfig, TooManyPartitions */
export function desiredTopics(
  _resource: { namespace: string; name: string },
  _settings: TopicSettings,
  _backend: TopicBackend,
): Topics {
  throw new Error("not yet");
}
