import { pino } from "pino";
import { expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { sink as sinkSchema } from "../../crds/v1alpha1/pipeline-sink.ts";
import { pipelineOwner } from "../desired/pipeline-owner.ts";
import { sinkLabels } from "../desired/sink-labels.ts";
import { sinkNames } from "../desired/sink-names.ts";
import { SINK_SPEC } from "../desired/sink-workload.ts";
import type { Tools } from "../runtime/controller.ts";
import { salvagedPipeline } from "./salvaged.ts";

test("of a spec that is not valid no ledger is destroyed, whatever its sinks said when they were made", async () => {
  const metadata = { namespace: "a", name: "p", uid: "u" };
  const sink = sinkSchema.parse({ name: "ledger", postgres: {}, deletionPolicy: { database: "Delete" } });
  const record = {
    metadata: {
      name: sinkNames(metadata, sink.name).config,
      labels: sinkLabels(metadata, sink.name),
      ownerReferences: [pipelineOwner(metadata)],
      annotations: { [SINK_SPEC]: JSON.stringify(sink) },
    },
  };
  const tools = { log: pino({ level: "silent" }), store: { list: async () => ({ items: [record] }) } };
  const spec = { sinks: [{ ...sink, deletionPolicy: { database: "Retain" } }], workload: 7 };
  const pipeline = { kind: "AuditPipeline", metadata, spec } as unknown as AuditPipeline;
  const salvaged = await salvagedPipeline(pipeline, tools as unknown as Tools<AuditPipeline>);
  expect(salvaged.spec.sinks).toMatchObject([{ name: "ledger", deletionPolicy: { database: "Retain" } }]);
});
