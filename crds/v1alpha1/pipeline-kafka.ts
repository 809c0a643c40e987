import { z } from "zod";
import { type Rule, withRules } from "../rules.ts";
import { INLINE_KAFKA, kafkaConnection, placeRules } from "./connections.ts";
import { rotation } from "./rotation.ts";
import { backendRef, keepOrDelete } from "./shared.ts";

interface Self {
  principal?: { create: boolean } | undefined;
}

const staysOn: Rule<Self> = {
  kind: "Transition",
  cel: "!has(oldSelf.principal) || !oldSelf.principal.create || (has(self.principal) && self.principal.create)",
  message: "principal.create cannot be taken back, because the sinks run on it: create a new pipeline without it",
  field: "principal",
  holds: (self, oldSelf) => oldSelf.principal?.create !== true || self.principal?.create === true,
};

const principal = z.strictObject({
  create: z
    .boolean()
    .describe(
      "Whether the sinks get a user of their own in Kafka, with the rights they need and no more. Required; applied live, but true stays true. Needs a back-end with SASL SCRAM.",
    ),
  deletionPolicy: keepOrDelete
    .default("Delete")
    .describe("What happens to the user and its rights at deletion. Default Delete; applied at deletion."),
  rotation: rotation("the user"),
});

export const pipelineKafka = withRules(
  z.strictObject({
    backendRef: backendRef("Kafka"),
    connection: kafkaConnection.optional().describe(INLINE_KAFKA),
    principal: principal
      .optional()
      .describe(
        "What the sinks log in with. Default the login that the back-end has for all sinks, where it wants one; applied live.",
      ),
  }),
  staysOn,
  ...placeRules("Kafka"),
);
