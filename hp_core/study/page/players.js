// Videos that play in step: they start together, wait for each other, and follow the last one, which also says when they begin anew.
const Players = (() => {
  'use strict'
  const EVERY = 100 // ms between two looks
  const NEAR = 0.04, FAR = 0.2 // s apart: below the first left alone, above the second moved at once
  const READY = 3 // HTMLMediaElement.HAVE_FUTURE_DATA

  // onChange({ playing, waiting, failed }) when that changes; onWatched() whenever the leader reaches its end.
  function inStep(videos, onChange, onWatched) {
    const leader = videos[videos.length - 1]
    let playing = false, failed = false, told = ''
    const ready = (video) => video.readyState >= READY || video.ended

    function tell() {
      const state = { playing: playing && !failed, waiting: playing && !failed && !videos.every(ready), failed }
      if (JSON.stringify(state) !== told) { told = JSON.stringify(state); onChange(state) }
    }

    function start(video) {
      video.play().catch((error) => {
        if (error.name === 'NotAllowedError') pause() // the browser wants a press of the button first
      })
    }

    // A server that gives files only as a whole lets a browser move to nowhere but the start.
    function reaches(video, time) {
      for (let range = 0; range < video.seekable.length; range++) if (time <= video.seekable.end(range)) return true
      return false
    }

    function follow(video) {
      if (video === leader || video.seeking || video.ended || leader.ended) return // a shorter one stays on its last picture
      const gap = leader.currentTime - video.currentTime
      const far = Math.abs(gap) > FAR
      if (far && reaches(video, leader.currentTime)) { video.currentTime = leader.currentTime; video.playbackRate = 1 }
      else if (far) video.playbackRate = gap > 0 ? 2 : 0.5
      else video.playbackRate = Math.abs(gap) > NEAR ? 1 + Math.sign(gap) * 0.15 : 1
    }

    function look() {
      if (playing && !failed) {
        if (leader.ended) rewind()
        const go = videos.every(ready)
        for (const video of videos) {
          if (!go) video.pause()
          else if (video.paused && !video.ended) start(video)
        }
        if (go) videos.forEach(follow)
      }
      tell()
    }

    function rewind() {
      for (const video of videos) { video.pause(); video.currentTime = 0; video.playbackRate = 1 }
    }

    function play() { playing = true; look() }
    function pause() { playing = false; videos.forEach((video) => video.pause()); tell() }

    function load(addresses) {
      pause()
      failed = false
      videos.forEach((video, index) => { video.src = addresses[index]; video.load() })
      tell()
    }

    leader.addEventListener('ended', () => { onWatched(); look() })
    for (const video of videos) {
      video.addEventListener('error', () => { if (video.getAttribute('src')) { failed = true; videos.forEach((each) => each.pause()); tell() } })
      video.addEventListener('canplay', look)
    }
    setInterval(look, EVERY)
    return { load, play, pause, toggle: () => (playing ? pause() : play()), restart: () => { rewind(); play() } }
  }

  return { inStep }
})()
