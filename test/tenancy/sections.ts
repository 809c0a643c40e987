import { kafkaSections } from "./kafka-rows.ts";
import { databaseSection, kafkaLoginSection, rotatedSection } from "./login-rows.ts";
import { cellsOf, renderMatrix } from "./matrix.ts";
import { ledgerSections, sharedSection } from "./postgres-rows.ts";
import { surfaceSection } from "./surface-rows.ts";

const sections = [
  kafkaLoginSection,
  ...kafkaSections,
  databaseSection,
  rotatedSection,
  ...ledgerSections,
  sharedSection,
  surfaceSection,
];

export const cells = sections.reduce((count, section) => count + cellsOf(section), 0);

/** The text of docs/tenancy-matrix.md. */
export const matrix = renderMatrix(sections);
