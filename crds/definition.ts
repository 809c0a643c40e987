import { z } from "zod";
import { type Rule, rulesOf } from "./rules.ts";
import { AUDIT_PIPELINE, auditPipeline } from "./v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, auditTopic } from "./v1alpha1/audit-topic.ts";
import { PIPELINE_COLUMNS, type PrinterColumn, TOPIC_COLUMNS } from "./v1alpha1/printer-columns.ts";
import { CATEGORY, GROUP, VERSION } from "./v1alpha1/shared.ts";

/** A schema as a CRD holds it: the structural subset of OpenAPI 3.0, with the x-kubernetes- extensions. */
export interface StructuralSchema {
  description?: string;
  type?: string;
  default?: unknown;
  enum?: unknown[];
  properties?: Record<string, StructuralSchema>;
  additionalProperties?: StructuralSchema | false;
  items?: StructuralSchema;
  required?: string[];
  anyOf?: StructuralSchema[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  nullable?: boolean;
  format?: string;
  "x-kubernetes-validations"?: { rule: string; message: string; fieldPath?: string }[];
  "x-kubernetes-list-type"?: string;
  "x-kubernetes-list-map-keys"?: string[];
  "x-kubernetes-int-or-string"?: boolean;
}

interface Names {
  kind: string;
  plural: string;
  singular: string;
  shortName: string;
}

/** The CustomResourceDefinitions, as plain objects in the order of their keys. */
export const definitions = () => [
  definition(AUDIT_TOPIC, auditTopic, TOPIC_COLUMNS),
  definition(AUDIT_PIPELINE, auditPipeline, PIPELINE_COLUMNS),
];

function definition(names: Names, schema: z.ZodType, columns: readonly PrinterColumn[]) {
  const { kind, plural, singular, shortName } = names;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: "Namespaced",
      names: { kind, listKind: `${kind}List`, plural, singular, shortNames: [shortName], categories: [CATEGORY] },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns.map((column) => ({ ...column })),
          schema: { openAPIV3Schema: structuralSchema(schema) },
        },
      ],
    },
  };
}

/** Leaves out what the API server forbids or brings itself, and adds the rules. */
export function structuralSchema(schema: z.ZodType): StructuralSchema {
  const generated = z.toJSONSchema(schema, {
    target: "openapi-3.0",
    io: "input",
    reused: "inline",
    override: ({ zodSchema, jsonSchema }) => toStructural(zodSchema, jsonSchema as StructuralSchema),
  }) as StructuralSchema;

  const { apiVersion, kind, metadata: _, ...own } = generated.properties ?? {};
  const text = (property: StructuralSchema | undefined) => ({
    description: property?.description ?? "",
    type: "string",
  });
  return {
    description: generated.description ?? "",
    type: "object",
    required: (generated.required ?? []).filter((field) => field === "spec"),
    properties: {
      apiVersion: text(apiVersion),
      kind: text(kind),
      // Nothing more may stand here, not even a description.
      metadata: { type: "object" },
      ...own,
    },
    "x-kubernetes-validations": generated["x-kubernetes-validations"] ?? [],
  };
}

function toStructural(zodSchema: z.core.$ZodType, schema: StructuralSchema): void {
  // Strictness about unknown fields is the caller's fieldValidation; the keyword is forbidden beside properties.
  if (schema.additionalProperties === false) delete schema.additionalProperties;
  if (schema.type === "integer") {
    if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
    if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
    schema.format = "int64";
  }
  if (schema["x-kubernetes-int-or-string"] === true) onlyTypesInAnyOf(schema);

  const rules = rulesOf(zodSchema);
  if (rules.length > 0) schema["x-kubernetes-validations"] = rules.map(validation);
}

function validation({ cel: rule, message, field }: Rule) {
  // The schema says nothing about metadata's fields, so a path may not lead there.
  const fieldPath = field === undefined || field.startsWith("metadata.") ? {} : { fieldPath: `.${field}` };
  return { rule, message, ...fieldPath };
}

/** The one anyOf that a structural schema may have is the bare pair integer, string; bounds stand beside it. */
function onlyTypesInAnyOf(schema: StructuralSchema): void {
  for (const { type: _type, format: _format, ...bounds } of schema.anyOf ?? []) Object.assign(schema, bounds);
  schema.anyOf = [{ type: "integer" }, { type: "string" }];
}
