import type { Topic } from "../desired/kafka-topic.ts";

/** One thing of a topic that is not as the spec says. */
export interface Difference {
  /** `partitions`, `replicationFactor`, or Kafka's name of a setting. */
  readonly what: string;
  /** Absent: the topic does not have it. */
  readonly found?: string;
  readonly wanted: string;
}

type Facts = Pick<Topic, "partitions" | "replicationFactor"> & { readonly config: Readonly<Record<string, string>> };

/** In order: partitions, replicationFactor, the settings the spec names. Settings it leaves to others are not looked at. */
export function differences(desired: Topic, found: Facts): Difference[] {
  const pairs: (readonly [string, string | undefined, string | null])[] = [
    ["partitions", String(found.partitions), String(desired.partitions)],
    ["replicationFactor", String(found.replicationFactor), String(desired.replicationFactor)],
    ...Object.entries(desired.config).map(([key, wanted]) => [key, found.config[key], wanted] as const),
  ];
  return pairs.flatMap(([what, is, wanted]) =>
    wanted === null || is === wanted ? [] : [{ what, ...(is === undefined ? {} : { found: is }), wanted }],
  );
}

/** `retention.ms is 1000 (wanted 604800000), partitions is 3 (wanted 12)` */
export const differencesText = (list: readonly Difference[]) =>
  list.map(({ what, found, wanted }) => `${what} is ${found ?? "not set"} (wanted ${wanted})`).join(", ");
