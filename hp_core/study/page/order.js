// Who a visitor is and in which order the items come: the random name alone decides the order.
const Order = (() => {
  'use strict'

  // 16 random bytes as 32 hexadecimal digits.
  function visitor() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
  }

  // xoshiro128**: numbers from 0 to below 2^32, fixed by the visitor.
  function numbers(name) {
    const s = Uint32Array.from([0, 8, 16, 24], (at) => parseInt(name.slice(at, at + 8), 16))
    if (!s.some(Boolean)) s[0] = 1
    const turn = (x, by) => (x << by) | (x >>> (32 - by))
    return () => {
      const drawn = Math.imul(turn(Math.imul(s[1], 5), 7), 9) >>> 0
      const shifted = s[1] << 9
      s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]
      s[2] ^= shifted
      s[3] = turn(s[3], 11)
      return drawn
    }
  }

  // Fisher and Yates.
  function shuffled(items, name) {
    const order = [...items], next = numbers(name)
    for (let left = order.length - 1; left > 0; left--) {
      const at = Math.floor(next() / 2 ** 32 * (left + 1))
      ;[order[left], order[at]] = [order[at], order[left]]
    }
    return order
  }

  return { visitor, shuffled }
})()
