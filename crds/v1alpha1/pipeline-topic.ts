import { z } from "zod";
import { type Rule, withRules } from "../rules.ts";
import { type TopicTemplate, topicTemplate } from "./audit-topic.ts";
import { dnsSubdomain } from "./shared.ts";

interface Self {
  ref?: { name: string } | undefined;
  template?: TopicTemplate | undefined;
}

const oneTopic: Rule<Self> = {
  kind: "Value",
  cel: "!(has(self.ref) && has(self.template))",
  message: "takes ref or template, not both: ref for a topic that exists, template for one of the pipeline's own",
  holds: ({ ref, template }) => ref === undefined || template === undefined,
};

const sameTopic: Rule<Self> = {
  kind: "Transition",
  cel: "has(self.ref) == has(oldSelf.ref) && (!has(self.ref) || self.ref.name == oldSelf.ref.name)",
  message: "cannot change to another topic, because the old one would not be drained: create a new pipeline for it",
  holds: (self, oldSelf) => self.ref?.name === oldSelf.ref?.name,
};

// `{}` stands for a template of defaults, so a template that comes or goes is held to what a template may not change.

const namesItsTopics = (template: string) =>
  `has(${template}.topicName) || has(${template}.replicationFactor) || has(${template}.deadLetter.topicName)`;

const namesTopics = ({ topicName, replicationFactor, deadLetter }: TopicTemplate) =>
  topicName !== undefined || replicationFactor !== undefined || deadLetter.topicName !== undefined;

const templateAdded: Rule<Self> = {
  kind: "Transition",
  cel: `has(oldSelf.template) || !has(self.template) || !(self.template.partitions < 12 || ${namesItsTopics("self.template")})`,
  message:
    "a template added later may not set topicName, replicationFactor, deadLetter.topicName, or fewer than 12 partitions, because the topic exists already: leave them out",
  field: "template",
  holds: ({ template }, { template: before }) =>
    before !== undefined || template === undefined || !(template.partitions < 12 || namesTopics(template)),
};

const templateRemoved: Rule<Self> = {
  kind: "Transition",
  cel: `has(self.template) || !has(oldSelf.template) || !(oldSelf.template.partitions > 12 || oldSelf.template.deadLetter.partitions > 1 || ${namesItsTopics("oldSelf.template")})`,
  message:
    "the template may not be removed while it sets topicName, replicationFactor, deadLetter.topicName or more partitions than the defaults: keep it",
  field: "template",
  holds: ({ template }, { template: before }) =>
    template !== undefined ||
    before === undefined ||
    !(before.partitions > 12 || before.deadLetter.partitions > 1 || namesTopics(before)),
};

export const pipelineTopic = withRules(
  z.strictObject({
    ref: z
      .strictObject({
        name: dnsSubdomain().describe("Name of an AuditTopic in the same namespace. Required; immutable."),
      })
      .optional()
      .describe("An AuditTopic that exists on its own. Default none; immutable."),
    template: topicTemplate
      .optional()
      .describe(
        "Spec of an AuditTopic that the pipeline makes and owns. Default all defaults; changes apply as AuditTopic says.",
      ),
  }),
  oneTopic,
  sameTopic,
  templateAdded,
  templateRemoved,
);
