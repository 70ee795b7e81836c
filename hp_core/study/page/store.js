// What a visitor has done so far, kept in the browser so that a reload loses nothing.
const Store = (() => {
  'use strict'
  let lasting = true

  function fresh(study) {
    const visitor = Order.visitor()
    return {
      visitor,
      started: null, // when the visitor pressed Begin
      submitted: null,
      order: Order.shuffled(study.items.map((item) => item.id), visitor),
      at: -1, // -1: introduction; 0 and on: items; the number of items: review
      answers: {}, // item -> question -> { score, seconds }
      seconds: {}, // item -> how long it has been in view
      watched: {}, // item -> true once the result has run to its end
    }
  }

  const place = (study) => `study:${study.study}`

  function load(study) {
    try {
      const kept = JSON.parse(localStorage.getItem(place(study)))
      if (kept) return kept
    } catch { lasting = false }
    const state = fresh(study)
    save(study, state)
    return state
  }

  // Storage may be full or forbidden, as in some private windows; the page then goes on without.
  function save(study, state) {
    try { localStorage.setItem(place(study), JSON.stringify(state)) } catch { lasting = false }
  }

  return { fresh, load, save, lasts: () => lasting }
})()
