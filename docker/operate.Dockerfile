# operate: `runmeter` for whoever runs the stack. `runmeter-build` and `runmeter-runtime` are the targets of base.Dockerfile; bake.hcl joins them.
FROM runmeter-build AS build
COPY docker/requirements/operate.in ./role.in
RUN uv pip install --require-hashes --constraint requirements.lock --requirement role.in

FROM runmeter-runtime
COPY --from=build /opt/venv /opt/venv
COPY console_api/ console_api/
COPY kit/ kit/
COPY metering/ metering/
COPY schemas/ schemas/
COPY stack/ stack/
COPY streams/ streams/
COPY --chmod=0755 docker/runmeter.sh /usr/local/bin/runmeter
ENV HEALTH_PORT=18090
EXPOSE 18090
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "/opt/healthy.py"]
USER 10001:10001
CMD ["runmeter", "reconcile", "--every", "900", "--metrics-host", "0.0.0.0"]
