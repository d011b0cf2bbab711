/** Colours for text on and beside a tenant's accent, so that any accent keeps WCAG's contrasts (1.4.3: 4.5 to 1). */

type Rgb = readonly [number, number, number];

const ENOUGH = 4.6;

function parse(hex: string): Rgb | null {
  const digits = /^#([0-9a-f]{6})$/i.exec(hex.trim())?.[1];
  return digits ? [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16)) as unknown as Rgb : null;
}

/** WCAG's relative luminance. */
function luminance(rgb: Rgb): number {
  const [r, g, b] = rgb.map((byte) => {
    const share = byte / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as unknown as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one: Rgb, other: Rgb): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];

/** `colour`, moved toward `end` until it can be read on `surface`. */
function readable(colour: Rgb, surface: Rgb, end: Rgb): string {
  let mixed = colour;
  for (let share = 0.05; contrast(mixed, surface) < ENOUGH && share <= 1; share += 0.05) {
    mixed = colour.map((byte, at) => Math.round(byte + (end[at]! - byte) * share)) as unknown as Rgb;
  }
  return `rgb(${mixed.join(" ")})`;
}

/** `null` for anything but `#rrggbb`. */
export function palette(accent: string): { accent: string; onAccent: string; light: string; dark: string } | null {
  const colour = parse(accent);
  return colour && {
    accent: `rgb(${colour.join(" ")})`,
    onAccent: contrast(colour, WHITE) >= contrast(colour, BLACK) ? "#fff" : "#000",
    light: readable(colour, WHITE, BLACK),
    dark: readable(colour, [29, 34, 43], WHITE),
  };
}
