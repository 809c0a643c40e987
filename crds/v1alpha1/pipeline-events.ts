import { z } from "zod";
import { withRules } from "../rules.ts";
import { quantity } from "./shared.ts";

export const events = withRules(
  z.strictObject({
    profile: z
      .enum(["AuditEvent", "CloudEvent"])
      .default("AuditEvent")
      .describe(
        "What a valid event is: a CloudEvent with actor, action and outcome, or any CloudEvent 1.0. Default AuditEvent; a change restarts the sinks' pods.",
      ),
    tenant: z
      .string()
      .min(1)
      .max(255)
      .regex(
        /^[a-zA-Z0-9]([a-zA-Z0-9._:/@-]*[a-zA-Z0-9])?$/,
        "letters, digits, ., _, :, /, @ and -, first and last a letter or digit",
      )
      .optional()
      .describe(
        "Tenant that all events are stored under. Default the pipeline's namespace; a change restarts the sinks' pods and holds for later events.",
      ),
    tenantFrom: z
      .enum(["Pipeline", "Header"])
      .default("Pipeline")
      .describe(
        "Where the tenant comes from: the field tenant, or each record's header audit-tenant. Default Pipeline; a change restarts the sinks' pods.",
      ),
    maxSize: quantity("1Ki", "64Mi")
      .default("256Ki")
      .describe(
        "Largest event that is stored; a larger one is dead-lettered, never cut. Default 256Ki; a change restarts the sinks' pods.",
      ),
  }),
  {
    kind: "Value",
    cel: "self.tenantFrom == 'Pipeline' || !has(self.tenant)",
    message: "tenant says nothing where each record brings its own: remove it, or set tenantFrom: Pipeline",
    field: "tenant",
    holds: ({ tenant, tenantFrom }) => tenantFrom === "Pipeline" || tenant === undefined,
  },
);
