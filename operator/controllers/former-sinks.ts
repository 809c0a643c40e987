import { isDeepStrictEqual } from "node:util";
import type { AuditPipeline, PostgresSpec, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KafkaGroups } from "../external/kafka-group.ts";
import type { Tools } from "../runtime/controller.ts";
import type { Deps } from "./deps.ts";
import { recordedSinks } from "./recorded-sinks.ts";
import { settleSink, stopSink } from "./sink-teardown.ts";

type PipelineTools = Tools<AuditPipeline>;

/** A sink that left the spec goes as in a deletion: it stops, and what it used is settled by its own last policy. */
export async function removeFormerSinks(
  pipeline: AuditPipeline,
  groups: KafkaGroups | undefined,
  tools: PipelineTools,
  deps: Deps,
): Promise<void> {
  const named = new Set(pipeline.spec.sinks.map(({ name }) => name));
  for (const sink of await recordedSinks(pipeline, tools)) {
    if (!named.has(sink.name)) await remove(pipeline, sink, groups, tools, deps);
  }
}

/**
 * The same for a sink that was taken out and added again under its name with another place, while nobody looked: the
 * rules on a field's change see only what is there before and after. Comes before anything of the new one is made, whose
 * objects and record have the same names.
 */
export async function leaveFormerPlace(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  groups: KafkaGroups | undefined,
  tools: PipelineTools,
  deps: Deps,
): Promise<void> {
  const recorded = (await recordedSinks(pipeline, tools)).find(({ name }) => name === sink.name);
  if (recorded === undefined || isSamePlace(recorded, sink)) return;
  await remove(pipeline, recorded, groups, tools, deps);
}

/** By what the spec says and nobody may change: the server, however it is reached, the database and the schema. */
export function isSamePlace({ postgres: one }: SinkSpec, { postgres: other }: SinkSpec): boolean {
  return isDeepStrictEqual(placeIn(one), placeIn(other));
}

const placeIn = ({ backendRef, connection, database, schema }: PostgresSpec) => [
  connection === undefined ? (backendRef?.name ?? "default") : [connection.host, connection.port],
  database,
  schema,
];

async function remove(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  groups: KafkaGroups | undefined,
  tools: PipelineTools,
  deps: Deps,
): Promise<void> {
  tools.log.info({ sink: sink.name, postgres: sink.postgres }, "Removing what the spec does not name any more");
  await stopSink(pipeline, sink, tools, deps);
  await settleSink(pipeline, sink, groups, tools, deps);
}
