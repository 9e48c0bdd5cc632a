// How large the largest buffer was that somebody asked for.
//
// A length that an input claims must not lead to a buffer of that length before it has been held against what is there. To see it, the
// constructors of bytes are replaced by ones that remember the largest size; the memory that is in use would tell too little, too late,
// and never the same thing twice. Slices are not counted: they are no larger than what they are cut from.

const sizeOf = (argument: unknown): number => (typeof argument === "number" ? argument : 0);

export class AllocationWatch {
  #largest = 0;
  readonly #restore: (() => void)[] = [];

  /** From now on, until close(). */
  constructor() {
    for (const name of ["Uint8Array", "ArrayBuffer", "Uint32Array"] as const) {
      const original = globalThis[name];
      const watching: object = new Proxy(original, {
        construct: (target, args, newTarget): object => {
          this.#note(sizeOf(args[0]));
          return Reflect.construct(target, args, newTarget === watching ? target : newTarget) as object;
        },
      });
      Object.assign(globalThis, { [name]: watching });
      this.#restore.push(() => Object.assign(globalThis, { [name]: original }));
    }
    for (const name of ["alloc", "allocUnsafe", "allocUnsafeSlow"] as const) {
      const original = Buffer[name];
      const watching = (size: number, ...rest: []): Buffer => {
        this.#note(size);
        return original.call(Buffer, size, ...rest);
      };
      Object.assign(Buffer, { [name]: watching });
      this.#restore.push(() => Object.assign(Buffer, { [name]: original }));
    }
  }

  #note(size: number): void {
    if (size > this.#largest) this.#largest = size;
  }

  /** The largest size since the last call, in bytes. */
  take(): number {
    const largest = this.#largest;
    this.#largest = 0;
    return largest;
  }

  close(): void {
    for (const restore of this.#restore) restore();
  }
}
