import { z } from "zod";
import { type AuditPipeline, auditPipelineSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { type AuditTopic, auditTopicSpec } from "../../crds/v1alpha1/audit-topic.ts";
import { validateResource } from "../../crds/validate.ts";
import type { Tools } from "../runtime/controller.ts";
import { recordedSinks } from "./recorded-sinks.ts";

/**
 * What a deletion goes by. A spec that is not valid, let in by other CRDs than this operator's, must not keep a resource
 * for ever: of it, what is valid by itself counts, and for the rest the default, which keeps data. Its sinks are those
 * that something was made of, as they were recorded then, and no ledger is destroyed: what the spec says of it by now
 * cannot be told.
 */
export async function salvagedPipeline(pipeline: AuditPipeline, tools: Tools<AuditPipeline>): Promise<AuditPipeline> {
  const spec = validSpec<AuditPipeline>(pipeline);
  if (spec !== undefined) return { ...pipeline, spec };
  const parts = salvage(auditPipelineSpec.omit({ sinks: true }), pipeline.spec);
  const sinks = (await recordedSinks(pipeline, tools)).map((sink) => ({
    ...sink,
    deletionPolicy: { ...sink.deletionPolicy, database: "Retain" as const },
  }));
  return { ...pipeline, spec: { ...parts, sinks } };
}

/** The same for a topic. No topic is destroyed by a spec that is not valid. */
export function salvagedTopic(topic: AuditTopic): AuditTopic {
  const spec = validSpec<AuditTopic>(topic) ?? {
    ...salvage(auditTopicSpec, topic.spec),
    deletionPolicy: "Retain" as const,
  };
  return { ...topic, spec };
}

function validSpec<R extends { spec: unknown }>(resource: R): R["spec"] | undefined {
  const validation = validateResource(resource);
  return validation.ok ? validation.value.spec : undefined;
}

function salvage<S extends z.ZodObject>(schema: S, spec: unknown): z.output<S> {
  const given = z.record(z.string(), z.unknown()).safeParse(spec).data ?? {};
  const parts = Object.entries<z.ZodType>(schema.shape).map(([name, part]) => {
    const parsed = part.safeParse(given[name]);
    return [name, parsed.success ? parsed.data : part.parse(undefined)];
  });
  return Object.fromEntries(parts) as z.output<S>;
}
