// Types of the part of negotiator that accept.ts uses: the package has none of its own.

declare module "negotiator" {
  export default class Negotiator {
    constructor(request: { readonly headers: { readonly accept: string } });
    /** Those of `available` that the Accept header takes, best first. */
    mediaTypes(available: readonly string[]): string[];
  }
}
