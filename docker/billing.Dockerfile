# billing. `runmeter-build` and `runmeter-runtime` are the targets of base.Dockerfile; bake.hcl joins them.
FROM runmeter-build AS build
COPY docker/requirements/billing.in ./role.in
RUN uv pip install --require-hashes --constraint requirements.lock --requirement role.in

FROM runmeter-runtime
COPY --from=build /opt/venv /opt/venv
COPY kit/ kit/
COPY schemas/ schemas/
COPY streams/ streams/
ENV HEALTH_PORT=18100
EXPOSE 18100
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "/opt/healthy.py"]
USER 10001:10001
CMD ["python", "-m", "streams.billing"]
